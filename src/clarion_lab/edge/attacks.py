"""The attacks of the chaos case `edge`, each with the floor below which it did not land."""

from collections.abc import Callable, Iterator
from itertools import cycle, repeat
from typing import Final, NamedTuple

import msgspec

from clarion.domain.limits import BATCH_ITEMS_MAX, HEAD_BYTES_MAX
from clarion_lab.edge import wire
from clarion_lab.edge.behaviours import Behaviour, ask, burst, hold, renegotiate, shake, sip, trickle

MIB: Final = 1024 * 1024
PLAIN: Final = "plain"
TLS: Final = "tls"
"""What a server offers."""
OPEN: Final = "open"


class Attack(NamedTuple):
    """An attack. `of` is what of it is counted: `connections`, `requests`, `pieces` sent, bytes `read`, TLS `handshakes`
    made or `asked` for, or connections that the server had `open` or has closed; `floor` is how many must have reached
    the server. `make` takes the key of a tenant of the attacker's own, which only some use.
    `needs` is what the server must offer."""

    name: str
    of: str
    floor: int
    make: Callable[[str], Behaviour]
    needs: str = PLAIN


def _always(request: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: repeat(request)


def _deep(secret: str) -> bytes:
    item = b'{"to":"a","template":"t","data":{"a":' + b"[" * 250 + b"]" * 250 + b"}}"
    return wire.posted("/v1/notifications/batch", secret, _batch(item))


def _batch(item: bytes) -> bytes:
    return b'{"notifications":[' + b",".join([item] * BATCH_ITEMS_MAX) + b"]}"


def _wide(secret: str) -> bytes:
    data = {f"k{number}": number for number in range(800)}
    return wire.posted(
        "/v1/notifications/batch", secret, _batch(msgspec.json.encode({"to": "a", "template": "t", "data": data}))
    )


def _users(secret: str) -> bytes:
    lines = (
        msgspec.json.encode({"id": f"u{number}", "attributes": {f"a{n}": "x" * 20 for n in range(100)}})
        for number in range(2_000)
    )
    return wire.posted("/v1/users/bulk", secret, b"\n".join(lines), "application/x-ndjson")


def _recipients(secret: str) -> bytes:
    body = {"to": [f"u{number}" for number in range(1_000)], "template": "t", "data": {"x": "y" * 10_000}}
    return wire.posted("/v1/notifications", secret, msgspec.json.encode(body))


def _queries(secret: str) -> Callable[[], Iterator[bytes]]:
    wide = "&".join(f"k{number}=%F0%9F%92%A9" for number in range(2_500))
    long = "after=" + "A" * (HEAD_BYTES_MAX - 2_000)
    return lambda: cycle(
        [wire.got(f"/v1/{path}?{query}", secret) for path in ("users", "events") for query in (wide, long)]
    )


ATTACKS: Final = (
    Attack("docs_unread_closed", "requests", 10_000, lambda _: burst(100, wire.DOCS * 50, len(wire.DOCS), 0.2)),
    Attack("ahead_unread", "connections", 150, lambda _: hold(150, wire.DOCS * 20_000, len(wire.DOCS))),
    Attack("public_bodies_missing", "requests", 2_050, lambda _: hold(2_050, wire.UNSUBSCRIBE, len(wire.UNSUBSCRIBE))),
    Attack("receipts_unfinished", "connections", 300, lambda _: hold(300, wire.receipt(MIB) + b"x" * (MIB - 1_000))),
    Attack("receipts_junk", "requests", 100, lambda _: ask(8, _always(wire.receipt(MIB) + b"{" * MIB))),
    Attack("heads_slow", "pieces", 1_000, lambda _: trickle(500, wire.HEAD_FIRST, b"x: y\r\n", 0.5)),
    Attack("reads_slow", "read", 200, lambda _: sip(100, wire.OPENAPI)),
    Attack("headers_many", "requests", 100, lambda _: ask(10, _always(wire.many_headers(HEAD_BYTES_MAX - 1_000)))),
    Attack("headers_huge", "requests", 300, lambda _: ask(10, _always(wire.LARGE_HEAD), stay=False)),
    Attack("headers_endless", "connections", 300, lambda _: burst(20, wire.HEAD_FIRST + b"x: y\r\n" * 200_000, 0, 0.01)),
    Attack("connections_silent", OPEN, 900, lambda _: hold(1_000, b"")),
    Attack("connections_flood", "connections", 3_000, lambda _: burst(50, b"G", 1, 0)),
    Attack("tls_on_plain", "requests", 500, lambda _: ask(20, _always(wire.tls_hello()), stay=False)),
    Attack("http2_resets", "requests", 300, lambda _: ask(20, _always(wire.rapid_resets(1_000)), stay=False)),
    Attack("http2_settings", "requests", 300, lambda _: ask(20, _always(wire.settings_flood(5_000)), stay=False)),
    Attack("http2_continuation", "requests", 300, lambda _: ask(20, _always(wire.continuation_flood(500)), stay=False)),
    Attack("framing_ambiguous", "requests", 1_000, lambda _: ask(20, lambda: cycle(wire.AMBIGUOUS.values()), stay=False)),
    Attack("credentials_guessed", "requests", 1_000, lambda _: ask(20, wire.guesses)),
    Attack("chunks_tiny", "connections", 50, lambda _: hold(50, wire.CHUNKED + b"1\r\nx\r\n" * 400_000)),
    Attack("health_flood", "requests", 300, lambda _: ask(20, lambda: cycle(wire.HEALTH))),
    Attack("bodies_stalled", "connections", 2_100, lambda key: hold(2_100, wire.posted("/v1/notifications", key, b"{", lacks=9))),
    Attack("batch_deep", "requests", 3, lambda key: ask(2, _always(_deep(key)))),
    Attack("batch_wide", "requests", 3, lambda key: ask(2, _always(_wide(key)))),
    Attack("recipients_many", "requests", 10, lambda key: ask(4, _always(_recipients(key)))),
    Attack("users_import", "requests", 3, lambda key: ask(2, _always(_users(key)))),
    Attack("queries_huge", "requests", 300, lambda key: ask(10, _queries(key))),
    Attack("tls_half_open", "connections", 1_000, lambda _: hold(1_000, wire.tls_hello()[:40]), TLS),
    Attack("tls_handshakes", "handshakes", 100, lambda _: shake(20), TLS),
    Attack("tls_renegotiation", "asked", 50, lambda _: renegotiate(4), TLS),
)  # fmt: skip
"""In the order in which they are made: those without a credential first."""


def named(name: str) -> Attack:
    """Return an attack by its name. Raises `KeyError` when there is none."""
    return {attack.name: attack for attack in ATTACKS}[name]
