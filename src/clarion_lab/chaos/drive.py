"""The client under chaos: repeats a request with the same idempotency key until it is settled, and writes the ledger.

It never guesses: a broken connection, a time-out, 409, 429 and 5xx are all `unknown`, and the request is repeated; only
202 and 204 are `ok`, and only another 4xx is `refused`.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from clarion_lab.chaos.ledger import AnswerLine, Ledger, RequestLine
from clarion_lab.load.http1 import Answer, Connection, WireError, connect, request_bytes

ANSWER_TIMEOUT_S: Final = 5.0
PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 1.0
_AGAIN: Final = frozenset({409, 425, 429})


class Plan(msgspec.Struct, frozen=True):
    """A request to make. `deliveries` is, item by item, the number of deliveries that each notification must have."""

    key: str
    kind: str
    path: str
    body: bytes
    deliveries: list[int]


class Driver:
    """Sends plans over a number of lanes, each with one request under way. A plan of None means no request at the
    moment."""

    def __init__(self, host: str, port: int, secret: str, ledger: Ledger, plans: Iterator[Plan | None]) -> None:
        self._address = (host, port)
        self._secret = secret
        self._ledger = ledger
        self._plans = plans
        self._stop = asyncio.Event()
        self.settled = 0

    def stop(self) -> None:
        """Start no new request; those under way are repeated until they are settled."""
        self._stop.set()

    async def run(self, lanes: int, rate: float) -> None:
        """Send until `stop`, at no more than `rate` requests a second in all."""
        await asyncio.gather(*(self._lane(lanes / rate) for _ in range(lanes)))

    async def _lane(self, interval_s: float) -> None:
        connection = Connection()
        while not self._stop.is_set():
            started = time.monotonic()
            plan = next(self._plans)
            if plan is not None:
                connection = await self._settle(connection, plan)
                self.settled += 1
            await asyncio.sleep(max(0.0, interval_s * random.uniform(0.5, 1.5) - (time.monotonic() - started)))
        connection.close()

    async def _settle(self, connection: Connection, plan: Plan) -> Connection:
        host = "{}:{}".format(*self._address)
        raw = request_bytes("POST", plan.path, host, self._secret, plan.body, extra={"idempotency-key": plan.key})
        attempt = 0
        while True:
            attempt += 1
            self._ledger.write(RequestLine(plan.key, plan.kind, plan.deliveries, attempt, _now_ms()))
            try:
                if not connection.open:
                    connection = await connect(*self._address)
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    answer = await connection.request(raw)
            except (WireError, TimeoutError) as error:
                connection.close()
                self._ledger.write(AnswerLine(plan.key, "unknown", [], _now_ms(), repr(error)))
            else:
                line = classify(plan.key, answer, _now_ms())
                self._ledger.write(line)
                if line.result != "unknown":
                    return connection
            await asyncio.sleep(min(PAUSE_S_MAX, PAUSE_S * attempt))


def classify(key: str, answer: Answer, at_ms: int) -> AnswerLine:
    """Return the ledger line for a response."""
    if answer.status == 204:
        return AnswerLine(key, "ok", [], at_ms)
    if answer.status == 202:
        return AnswerLine(key, "ok", _ids(msgspec.json.decode(answer.body)), at_ms)
    detail = f"{answer.status} {answer.body[:300].decode(errors='replace')}"
    again = answer.status in _AGAIN or answer.status >= 500
    return AnswerLine(key, "unknown" if again else "refused", [], at_ms, detail)


def _ids(body: dict[str, Any]) -> list[str | None]:
    """Return the ids of notifications: those of a batch, those that an event made, or the one."""
    return [item.get("id") for item in body.get("results", body.get("notifications", [body]))]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
