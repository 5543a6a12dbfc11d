"""Refused credentials make their peer wait, and known ones go on."""

import asyncio

import pytest

from clarion.domain.api_key import key_of
from clarion.domain.errors import Overloaded, RequestLimited, Unauthorized
from clarion.domain.limits_processes import (
    CREDENTIAL_DELAY_MS_MAX,
    CREDENTIAL_QUIET_MS,
    NETWORK_PEERS,
    TOKENS_REFUSED_AT_ONCE,
    TOKENS_REFUSED_PER_S,
)
from clarion.ways_in.http import credentials as module
from clarion.ways_in.http import peer_waits
from clarion.ways_in.http.credentials import Credentials
from tests.callers import by_key
from tests.stages.world import Notes

FREE = 3
HOME, AWAY = ("192.0.2.1",), ("192.0.2.2",)
CALLER = by_key(key_id="k1")
WAIT_S_MAX = CREDENTIAL_DELAY_MS_MAX // 1000


KEY_ID = "00000000000000a7"
KEY = key_of(KEY_ID, bytes(range(32)))


class Desk:
    """Credentials over a clock, with a count of those that were looked up."""

    def __init__(self, free=FREE, always=()):
        self.valid = {"good", "new", "clk_k1_good", "a.b.good", "a.b.new"}
        self.asked = []
        self.now_ns = 10**15
        self.notes = Notes()
        self.events = []
        self.notes.security = lambda event, **fields: self.events.append((event.value, fields))
        self.credentials = Credentials(self.identify, self.notes, lambda: self.now_ns, free, always.__contains__)

    async def identify(self, secret, _address):
        self.asked.append(secret)
        if secret == "a.b.expired":
            raise Unauthorized("expired", reason="expired", counts=False)
        return CALLER if secret in self.valid else None

    async def status(self, secret, peers=HOME):
        """Return what a credential of a peer gets."""
        try:
            await self.credentials.caller(secret, peers[0], peers, "GET /a")
        except (Unauthorized, RequestLimited) as refusal:
            return refusal.status
        return 200

    async def wait_s(self, secret="wrong", peers=HOME):
        with pytest.raises(RequestLimited) as refusal:
            await self.credentials.caller(secret, peers[0], peers, "GET /a")
        assert refusal.value.code == "credentials_delayed"
        return refusal.value.retry_after_s

    def passes(self, seconds):
        self.now_ns += seconds * 10**9


async def delayed(desk, secret="wrong{}", peers=HOME, number=FREE + 1):
    """Let a peer guess until it has to wait."""
    assert [await desk.status(secret.format(n), peers) for n in range(number)] == [401] * number
    assert await desk.status(secret.format("more"), peers) == 429


async def test_a_guessing_peer_waits_longer_each_time_and_is_not_looked_up():
    desk = Desk()
    await delayed(desk)
    waits_s = []
    for _ in range(9):
        asked = len(desk.asked)
        waits_s.append(await desk.wait_s())
        assert len(desk.asked) == asked
        desk.passes(waits_s[-1])
        assert await desk.status("wrong") == 401
    assert waits_s == [1, 2, 4, 8, 16, 32, WAIT_S_MAX, WAIT_S_MAX, WAIT_S_MAX]


async def test_neighbours_with_known_credentials_and_other_peers_go_on():
    desk = Desk(always=("chief",))
    desk.valid.add("chief")
    assert await desk.status("good") == await desk.status("clk_k1_good", AWAY) == 200
    await delayed(desk)
    for secret in ("good", "clk_k1_good", "chief"):
        assert await desk.status(secret) == 200
    assert await desk.status("new") == 429
    assert await desk.status("new", AWAY) == 200
    assert await desk.status("new") == 200


async def test_quiet_time_forgives():
    desk = Desk()
    await delayed(desk)
    desk.passes(1 + CREDENTIAL_QUIET_MS // 1000)
    await delayed(desk)


async def test_a_known_credential_that_is_refused_is_known_no_more():
    desk = Desk()
    assert await desk.status("good") == 200
    await delayed(desk)
    desk.valid.clear()
    assert [await desk.status("good"), await desk.status("good")] == [401, 429]


async def test_tokens_and_keys_do_not_delay_each_other():
    desk = Desk()
    await delayed(desk)
    assert await desk.status("a.b.new") == 200
    desk = Desk()
    await delayed(desk, "a.b.{}", number=TOKENS_REFUSED_AT_ONCE)
    assert await desk.status("new") == 200
    assert await desk.wait_s("a.b.good") == 1
    desk.passes(1)
    assert await desk.status("a.b.good") == 200
    await delayed(desk, "a.b.{}", number=TOKENS_REFUSED_PER_S)
    assert await desk.status("a.b.good") == 200


async def test_an_expired_token_is_no_guess():
    desk = Desk()
    for _ in range(2 * TOKENS_REFUSED_AT_ONCE):
        assert await desk.status("a.b.expired") == 401
    assert desk.events[-1] == ("token_refused", {"reason": "expired", "peer": HOME[0], "route": "GET /a"})


async def test_a_customer_does_not_get_out_by_rotating_its_peers():
    desk = Desk()
    peers = [(f"{number}/64", "net/48") for number in range(1_000)]
    statuses = [await desk.status("wrong", peer) for peer in peers]
    assert statuses.count(401) == FREE * NETWORK_PEERS + 1
    assert await desk.status("new", ("x/64", "other/48")) == 200


async def test_waits_can_be_turned_off():
    desk = Desk(free=0)
    assert {await desk.status("wrong") for _ in range(100)} == {401}
    assert {await desk.status("a.b.wrong") for _ in range(2 * TOKENS_REFUSED_AT_ONCE)} == {401}


async def test_events_name_the_key_and_never_its_secret():
    desk = Desk()
    await desk.status(KEY)
    await desk.status("clk_" + "k" * 65 + "_secret")
    await desk.status("a.b.secret")
    await delayed(desk, number=FREE - 1)
    await desk.status(KEY)
    assert [name for name, _ in desk.events] == [
        "credential_refused", "credential_refused", "token_refused", *["credential_refused"] * (FREE - 1),
        "credential_delayed", "credential_delayed",
    ]  # fmt: skip
    assert desk.events[0][1] == {"reason": "unknown", "peer": HOME[0], "route": "GET /a", "key_id": KEY_ID}
    assert desk.events[-1][1] == {"peer": HOME[0], "route": "GET /a", "key_id": KEY_ID}
    assert KEY.rpartition("_")[2] not in str(desk.events)
    assert "secret" not in str([fields for _, fields in desk.events])
    assert "k" * 20 not in str(desk.events)


async def test_lookups_of_unknown_credentials_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "CREDENTIAL_CHECKS_MAX", 2)
    desk, gate = Desk(), asyncio.Event()
    assert await desk.status("good") == 200

    async def slow(_secret, _address):
        await gate.wait()
        return CALLER

    desk.credentials._identify = slow
    waiting = [asyncio.create_task(desk.status(str(number))) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await desk.status("another")
    known = asyncio.create_task(desk.status("good"))
    gate.set()
    assert await asyncio.gather(*waiting, known) == [200, 200, 200]
    assert await desk.status("another") == 200


async def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "CREDENTIALS_KNOWN_MAX", 10)
    monkeypatch.setattr(peer_waits, "CREDENTIAL_PEERS_KEPT_MAX", 20)
    desk = Desk()
    await delayed(desk)
    for number in range(100):
        desk.valid.add(f"key{number}")
        await desk.status(f"key{number}", AWAY)
        await desk.status("wrong", (str(number),))
    known, waits = desk.credentials._keys.known, desk.credentials._keys.waits
    assert len(known.recent) + len(known.older) <= 20
    assert len(waits._refusals.entries) <= 20
    assert await desk.status("wrong") == 429
    assert await desk.status("key99") == 200
