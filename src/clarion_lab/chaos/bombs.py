"""Requests that take as much CPU as one request can, each within the bounds of a request or just above them.

They are for a tenant with a user `ada`, a topic `fans`, a category `news` and a template `note` with the variable `text`
and content for SMS. `tests/security/test_loop_busy.py` holds each to 50 ms on the event loop.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from clarion.domain.limits import (
    BATCH_BODY_BYTES_MAX,
    BATCH_ITEMS_MAX,
    BATCH_VALUES_MAX,
    BODY_BYTES_MAX,
    BODY_VALUES_MAX,
    BULK_LINE_VALUES_MAX,
    DATA_BYTES_MAX,
    HEAD_BYTES_MAX,
    RECIPIENTS_MAX,
)
from clarion.domain.limits_content import TRANSLATIONS_BYTES_MAX

_ROOM: Final = 2_000
"""Bytes left for what is around the filling of a body."""
_LINES_BYTES: Final = 4 * 1024 * 1024
_TOML_BYTES: Final = 256 * 1024
_ITEMS_IN_DATA: Final = 10_000
DEEP: Final = b"[" * 60 + b"]" * 60
PIECES: Final = {
    "deep": DEEP,
    "deeper": b"[" * 250 + b"]" * 250,
    "lists": b"[]",
    "objects": b'{"a":{"b":{"c":[]}}}',
    "numbers": b"0",
    "slow_numbers": b"5e-324",
    "escapes": b'"\\u0041\\ud83d\\ude00"',
}
"""Pieces of JSON that are dear to decode or to check."""


class Bomb(NamedTuple):
    """One request. The body of a `stream` route is sent in pieces; `before` are calls that prepare it."""

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    key: str | None = None
    stream: bool = False
    before: tuple[tuple[str, str, Any], ...] = ()


def filled(piece: bytes, size_bytes: int, values_max: int | None = None) -> bytes:
    """Return a list of equal pieces of JSON, of about the given size and with fewer values than allowed."""
    count = size_bytes // (len(piece) + 1)
    if values_max is not None:
        values = sum(piece.count(mark) for mark in (b"[", b"{", b",")) + 1
        count = min(count, (values_max - 10) // values)
    return b"[%b]" % b",".join([piece] * max(count, 1))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _notification(data: bytes, to: bytes = b'"ada"') -> bytes:
    return b'{"to":%b,"template":"note","data":{"text":"x","d":%b}}' % (to, data)


def _notifications() -> Iterator[Bomb]:
    path = "/v1/notifications"
    for name, piece in PIECES.items():
        yield Bomb(f"single_full_{name}", "POST", path, _notification(filled(piece, BODY_BYTES_MAX - _ROOM)))
        within = filled(piece, DATA_BYTES_MAX - _ROOM, BODY_VALUES_MAX)
        yield Bomb(f"single_{name}", "POST", path, _notification(within))
        yield Bomb(f"explain_{name}", "POST", f"{path}/explain", _notification(within))
    yield Bomb("single_deepest", "POST", path, _notification(b"[" * 500_000 + b"]" * 500_000))
    domains = [{"email": f"u@{n}.example.com"} for n in range(RECIPIENTS_MAX)]
    yield Bomb("recipients_of_new_domains", "POST", path, _notification(b"0", _json(domains)))
    phones = [{"phone": f"+44770{n:07d}"} for n in range(RECIPIENTS_MAX)]
    yield Bomb("recipients_of_new_numbers", "POST", path, _notification(b"0", _json(phones)))


def _batch(items: list[bytes]) -> bytes:
    return b'{"notifications":[%b]}' % b",".join(items)


def _batches() -> Iterator[Bomb]:
    path, full = "/v1/notifications/batch", BATCH_BODY_BYTES_MAX - _ROOM
    for name, piece in PIECES.items():
        values = BATCH_VALUES_MAX // BATCH_ITEMS_MAX - 10
        item = _notification(filled(piece, full // BATCH_ITEMS_MAX - 100, values))
        yield Bomb(f"batch_{name}", "POST", path, _batch([item] * BATCH_ITEMS_MAX))
        large = _notification(filled(piece, full // 10 - 100, BODY_VALUES_MAX - 100))
        yield Bomb(f"batch_of_large_{name}", "POST", path, _batch([large] * (BATCH_VALUES_MAX // BODY_VALUES_MAX)))
        small = _notification(filled(piece, 160))
        yield Bomb(f"batch_of_small_{name}", "POST", path, _batch([small] * BATCH_ITEMS_MAX))
    items = [b'{"to":{"email":"u@%d.example.org"},"template":"note","data":{"text":"x"}}' % n for n in range(1_000)]
    yield Bomb("batch_of_new_domains", "POST", path, _batch(items))


def _broken_batches() -> Iterator[Bomb]:
    path, full = "/v1/notifications/batch", BATCH_BODY_BYTES_MAX - _ROOM
    yield Bomb("batch_deepest", "POST", path, _batch([b"[" * (full // 2) + b"]" * (full // 2)]))
    yield Bomb("batch_deep_items", "POST", path, _batch([b"[" * 7_000 + b"]" * 7_000] * BATCH_ITEMS_MAX))
    yield Bomb("batch_deep_within", "POST", path, _batch([b"[" * 2_000 + b"]" * 2_000] * 140))
    yield Bomb("batch_many_items", "POST", path, _batch([b"0"] * (full // 2)))


def _toml() -> Iterator[Bomb]:
    texts = {
        "lists": b"a=" + b"[" * 100_000,
        "numbers": b"a=[" + b"1," * 131_000 + b"]",
        "tables": b"\n".join(b"[%b]" % b".".join([b"a%d" % n] * 16) for n in range(8_000)),
        "arrays_of_tables": b"[[a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p]]\n" * 7_500,
        "inline_tables": b"a=[" + b"{a.b.c.d.e.f.g.h.i.j.k.l=1}," * 9_000 + b"]",
        "keys": b"\n".join(b"a%d=1" % n for n in range(40_000)),
        "comments": b"#\n" * 131_000,
        "quotes": b'"' * _TOML_BYTES,
    }
    media = ((b"content-type", b"application/toml"),)
    for name, text in texts.items():
        yield Bomb(f"toml_{name}", "PUT", "/v1/workflows/w", text[:_TOML_BYTES], media)


def _templates() -> Iterator[Bomb]:
    texts = {
        "tags": "{{data.a}}",
        "opening": "{{",
        "if": "{% if a %}",
        "partial": '{{> x}}{% partial "x" %}',
        "plain": "x",
    }
    for engine in ("liquid", "handlebars"):
        for name, text in texts.items():
            body = text * (900_000 // len(text))
            source = {"channels": {"sms": {"body": body}}, "engine": engine}
            yield Bomb(f"template_{engine}_{name}", "PUT", "/v1/templates/big", _json(source))
            yield Bomb(f"preview_{engine}_{name}", "POST", "/v1/templates/big/preview", _json({"source": source}))
            yield Bomb(f"layout_{engine}_{name}", "PUT", "/v1/layouts/big", _json({"html": body, "engine": engine}))
            yield Bomb(f"partial_{engine}_{name}", "PUT", "/v1/partials/big", _json({"source": body, "engine": engine}))
    messages = {f"k{n}": "hello {{ data.x }} " for n in range(2_000)}
    locales = {tag: {"messages": messages} for tag in ("en", "de", "fr", "nl", "es", "it", "pt", "pl", "sv")}
    yield Bomb("template_messages", "PUT", "/v1/templates/big", _json({"channels": _SMS, "locales": locales}))
    tree = {"title": "a", "body": "b", "data": {f"k{n}": "{{ data.a }}" for n in range(25_000)}}
    yield Bomb("template_push_data", "PUT", "/v1/templates/big", _json({"channels": {"push": tree}}))
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(9_000)}}
    yield Bomb("template_schema", "PUT", "/v1/templates/big", _json({"channels": _SMS, "variables": schema}))
    yield Bomb("template_schema_list", "PUT", "/v1/templates/big", b'{"channels":{"sms":{"body":"x"}},"variables":{"d":%b}}'
               % filled(b"0", BODY_BYTES_MAX, BODY_VALUES_MAX))  # fmt: skip
    patterns = {"type": "string", "allOf": [{"pattern": f"^(a+)+x{n}$"} for n in range(70)]}
    strict = {"channels": _SMS, "variables": {"type": "object", "properties": {"d": patterns}}}
    data = {"to": "ada", "template": "strict", "data": {"d": "a" * 13_000}}
    yield Bomb(
        "schema_patterns", "POST", "/v1/notifications", _json(data), before=(("PUT", "/v1/templates/strict", strict),)
    )


_SMS: Final = {"sms": {"body": "x"}}
_TRANSLATED: Final = {
    "channels": _SMS,
    "locale": "en",
    "locales": {"en": {"messages": {f"k{n}": "hello" for n in range(2_000)}}},
}


def _translations() -> Iterator[Bomb]:
    path, full = "/v1/templates/told/translations/de", TRANSLATIONS_BYTES_MAX - _ROOM
    before = (("PUT", "/v1/templates/told", _TRANSLATED),)
    start = b'<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file><body>'
    end = b"</body></file></xliff>"
    unit = b'<trans-unit id="k%d"><source>hello</source><target>hallo</target></trans-unit>'
    attributes = b" ".join(b'a%d="x"' % n for n in range(full // 13))
    entities = b"".join(b'<!ENTITY b%d "%b">' % (n + 1, b"&b%d;" % n * 10) for n in range(12))
    xliff = {
        "units": start + b"".join(unit % n for n in range(full // 90)) + end,
        "attributes": start + b'<trans-unit id="k1" %b/>' % attributes + end,
        "elements": start + b"<g/>" * (full // 4 - 100) + end,
        "entities": b'<!DOCTYPE x [<!ENTITY b0 "aa">%b]>' % entities + start + b"&b12;" + end,
        "depth": start + b"<g>" * (full // 3 - 100),
    }
    po = {
        "units": b"".join(b'msgctxt "k%d"\nmsgid "hello"\nmsgstr "hallo"\n\n' % n for n in range(full // 46)),
        "lines": b'msgid ""\n' + b'"a"\n' * (full // 4 - 100),
        "comments": b"#\n" * (full // 2),
        "quotes": b'"' * full,
    }
    for name, text in xliff.items():
        yield Bomb(f"xliff_{name}", "PUT", path, text, stream=True, before=before)
    for name, text in po.items():
        yield Bomb(f"po_{name}", "PUT", f"{path}?format=po", text, stream=True, before=before)


def _imports() -> Iterator[Bomb]:
    path = "/v1/users/bulk"
    lines = {
        "deep": [b'{"id":"x","attributes":{"a":%b}}' % filled(DEEP, 31_000)] * (_LINES_BYTES // 31_000),
        "deep_within": [b'{"id":"x","attributes":{"a":%b}}' % filled(DEEP, 31_000, BULK_LINE_VALUES_MAX)] * 200,
        "values": [b'{"id":"x","attributes":{"a":%b}}' % filled(b"[]", 31_000)] * (_LINES_BYTES // 31_000),
        "topics": [b'{"id":"x","topics":%b}' % _json([f"t{n}-{m}" for m in range(100)]) for n in range(3_000)],
        "blank": [b""] * _LINES_BYTES,
        "long": [b"a" * _LINES_BYTES],
    }
    for name, some in lines.items():
        yield Bomb(f"import_{name}", "POST", path, b"\n".join(some), stream=True)


def _definitions() -> Iterator[Bomb]:
    texts = {
        "and": " && ".join(["data.a == 1"] * 60),
        "brackets": "(" * 400 + "1" + ")" * 400,
        "not": "!" * 900 + "true",
    }
    for name, text in texts.items():
        notify = [
            {"template": "note", "to": "data.u", "if": text + " " * n, "data": {"a": text + "\t" * n}}
            for n in range(50)
        ]
        yield Bomb(f"rule_{name}", "PUT", "/v1/event-rules/r", _json({"event": "x", "notify": notify}))
    dear = [
        {"template": "note", "to": "data.u", "if": "data.d.filter(x, x == 'a').size() > 0" + " " * n} for n in range(49)
    ]
    event = {"type": "dear", "data": {"u": "ada", "d": ["b" * 10] * _ITEMS_IN_DATA}}
    yield Bomb("event", "POST", "/v1/events", _json(event),
               before=(("PUT", "/v1/event-rules/dear", {"event": "dear", "notify": dear}),))  # fmt: skip
    nodes = {"any": [{"not": {"attribute": "a", "is": 1}}] * 9_000}
    yield Bomb("segment_nodes", "POST", "/v1/segments/preview", _json({"filter": nodes}))
    values = {"attribute": "a", "in": [str(n) for n in range(28_000)]}
    yield Bomb("segment_values", "PUT", "/v1/segments/s", _json({"filter": values}))
    rules = {
        "never": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "leap_days": "FREQ=DAILY;COUNT=1000;BYMONTH=2;BYMONTHDAY=29",
        "positions": "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=366",
    }
    for name, rule in rules.items():
        when = {"rrule": rule, "start": "2000-01-01T00:00:00", "zone": "America/New_York"}
        yield Bomb(f"schedule_{name}", "POST", "/v1/schedules/preview", _json(when))
    yield Bomb("members", "POST", "/v1/topics/fans/members", _json({"user_ids": [f"u{n}" for n in range(10_000)]}))


def _heads() -> Iterator[Bomb]:
    room = HEAD_BYTES_MAX - _ROOM
    path = "/v1/notifications"
    yield Bomb("query_parameters", "GET", f"{path}?{'&'.join(f'a{n}=1' for n in range(room // 9))}")
    yield Bomb("query_escapes", "GET", f"{path}?state={'%41' * (room // 3)}")
    yield Bomb("query_cursor", "GET", f"{path}?after={'A' * room}")
    yield Bomb("path", "GET", f"/v1/users/{'%41' * (room // 3)}")
    yield Bomb("headers", "GET", path, headers=tuple((b"x-%d" % n, b"") for n in range(room // 9)))
    yield Bomb("user_token", "GET", path, key=f"eyJhbGciOiJIUzI1NiJ9.{'b' * room}.c")
    yield Bomb("idempotency_key", "POST", path, _notification(b"0"), ((b"idempotency-key", b"a" * room),))


GROUPS: Final[dict[str, Callable[[], Iterator[Bomb]]]] = {
    "notifications": _notifications,
    "batches": _batches,
    "broken_batches": _broken_batches,
    "toml": _toml,
    "templates": _templates,
    "translations": _translations,
    "imports": _imports,
    "definitions": _definitions,
    "heads": _heads,
}
"""All bombs. A group makes its bodies one by one: together they would take more than a gigabyte."""
