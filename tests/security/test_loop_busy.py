"""No request takes more than 50 ms of CPU between two turns of the API's event loop, whatever its body holds.

The CPU time of each callback on the loop's thread is measured, so a busy machine does not change the result.
"""

import asyncio
import gc
import time
from typing import Any

import msgspec
import pytest

from clarion.app.processes import gc_tuning
from clarion.domain.limits import BODY_VALUES_MAX
from clarion.ways_in.http import routes_notifications as routes
from clarion_lab.chaos.bombs import GROUPS, PIECES, filled
from tests.callers import opens
from tests.security.api import OPERATOR_KEY, Api

pytestmark = pytest.mark.slow

BUSY_MS_MAX = 50
PIECE_BYTES = 64 * 1024
QUICK = ("notifications", "broken_batches", "toml", "heads")


class Stretches:
    """Measures the longest callback of the running loop (ms of CPU), while it is entered."""

    def __init__(self, monkeypatch):
        self.longest_ms = 0.0
        real = asyncio.Handle._run

        def run(handle):
            began_ns = time.thread_time_ns()
            try:
                real(handle)
            finally:
                self.longest_ms = max(self.longest_ms, (time.thread_time_ns() - began_ns) / 1e6)

        self._patch = lambda: monkeypatch.setattr(asyncio.Handle, "_run", run)

    async def begin(self):
        """Begin to measure, in a new turn: the work of the caller before does not count."""
        self._patch()
        await asyncio.sleep(0)
        self.longest_ms = 0.0


@pytest.fixture
def stretches(monkeypatch):
    """Return the measure, with the garbage collector tuned as it is in the product."""
    thresholds = gc.get_threshold()
    gc_tuning.tune()
    yield Stretches(monkeypatch)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


async def detonate(api: Api, stretches: Stretches, bomb: Any) -> int:
    """Send a bomb after what prepares it, and return the status."""
    for method, path, body in bomb.before:
        await api.ok(method, path, body)
    pieces = [bomb.body[at : at + PIECE_BYTES] for at in range(0, len(bomb.body), PIECE_BYTES)] if bomb.stream else None
    await stretches.begin()
    call = api.call(
        bomb.method, bomb.path, bomb.body, key=bomb.key or "acme", headers=bomb.headers, pieces=pieces
    )  # fmt: skip
    # A task of its own: its first turn is measured, too.
    return (await asyncio.create_task(call)).status


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in GROUPS]
)
@pytest.mark.nightly
async def test_no_bomb_holds_the_loop(api, stretches, name):
    too_long = {}
    for bomb in GROUPS[name]():
        status = await detonate(api, stretches, bomb)
        assert status < 500, (bomb.name, status)
        if stretches.longest_ms > BUSY_MS_MAX:
            too_long[bomb.name] = stretches.longest_ms
    assert not too_long
    assert not [failure for failure in api.failures if "request_failed" in failure]


def shapes_of(kind: Any) -> list[bytes]:
    """Return bodies for a type: every shape alone, and as the value of each field."""
    within = [filled(piece, 1_000_000, BODY_VALUES_MAX - 10) for piece in PIECES.values()]
    within.append(b"{%b}" % b",".join(b'"k%d":0' % number for number in range(BODY_VALUES_MAX - 10)))
    within.append(b'"%b"' % (b"\\u0041" * 170_000))
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return [*within, *(b'{"a":%b}' % shape for shape in within)]
    names = [field.encode_name.encode() for field in msgspec.structs.fields(kind)]
    return [*within, *(b'{"%b":%b}' % (name, shape) for name in names for shape in within)]


@pytest.mark.slow
async def test_no_body_of_any_route_holds_the_loop(api, stretches):
    too_long = {}
    for route in api.routes:
        if route.body is None:
            continue
        path = "/".join("news" if part.startswith("{") else part for part in route.path.split("/"))
        key = OPERATOR_KEY if opens(route.permission) == "operator" else "acme"
        if opens(route.permission) == "user":
            key = api.tokens.issue("acme", "ada", int(time.time()), 3_600)
        for body in shapes_of(route.body):
            await stretches.begin()
            answer = await asyncio.create_task(api.call(route.method, path, body, key=key))
            assert answer.status != 500, (route.method, path, body[:60], api.failures)
            if stretches.longest_ms > BUSY_MS_MAX:
                too_long[route.method, path, body[:60]] = stretches.longest_ms
    assert not too_long


async def test_a_batch_is_refused_undecoded_when_the_quota_has_no_room(api, monkeypatch):
    decoded = []
    real = routes._item
    monkeypatch.setattr(routes, "_item", lambda raw: decoded.append(raw) or real(raw))
    await api.ok("PUT", "/v1/tenants/acme/quota", {"daily": 1}, key=OPERATOR_KEY)
    one = {"to": "ada", "template": "note", "data": {"text": "x"}}
    await api.ok("POST", "/v1/notifications", one)
    refused = await api.call("POST", "/v1/notifications/batch", {"notifications": [one] * 3})
    assert (refused.status, refused.json["code"], decoded) == (429, "daily_quota_exceeded", [])
    assert int(refused.headers["retry-after"]) > 0
    keyed = one | {"idempotency_key": "k"}
    assert (await api.call("POST", "/v1/notifications/batch", {"notifications": [keyed]})).status == 429
    assert len(decoded) == 1
    await api.ok("PUT", "/v1/tenants/acme/quota", {"daily": 100}, key=OPERATOR_KEY)
    assert (await api.ok("POST", "/v1/notifications/batch", {"notifications": [one]})).json["results"][0]["id"]
