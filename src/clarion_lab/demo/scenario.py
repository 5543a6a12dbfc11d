"""The demo's requests and their results, all through the public API."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from clarion.app.cli.remote import Remote, RequestRefused
from clarion.domain.channel import Channel
from clarion.domain.delivery_state import NAMES, TERMINAL
from clarion.domain.errors import OperatorError
from clarion_lab.demo import seed

DEADLINE_S: Final = 60.0
_POLL_S: Final = 0.2
_AT_REST: Final = frozenset(NAMES[state] for state in TERMINAL)
GUEST: Final = {"email": "guest@example.com"}


class Delivery(msgspec.Struct, frozen=True):
    """A delivery at the end of the scenario. `latency_ms` counts from acceptance to the end, None for an unfinished
    one."""

    id: str
    channel: str
    state: str
    reason: str | None
    provider: str | None
    attempts: int
    latency_ms: float | None

    @property
    def is_final(self) -> bool:
        """Whether it reached a terminal state."""
        return self.state in _AT_REST


class DemoResult(msgspec.Struct, frozen=True):
    """All accepted requests and all their deliveries; `unfinished` are the ids that did not finish in time."""

    accepted: list[str]
    deliveries: list[Delivery]
    unfinished: list[str]


def warm_up(demo: Remote) -> None:
    """Return once a notification has passed every stage, so that latencies do not measure the start of processes."""
    body = {"to": seed.user_id(1), "template": "order_shipped", "channels": ["inapp"], "data": _order(0)}
    watch(demo, [demo.post("/v1/notifications", body)["id"]], lambda _done, _of: None)


def send(demo: Remote) -> list[str]:
    """Send all requests and return the ids of notifications and broadcasts."""
    orders = [
        {"to": seed.user_id(number), "template": "order_shipped", "data": _order(number)} for number in range(1, 11)
    ]
    orders.append({"to": GUEST, "template": "order_shipped", "channels": ["email"], "data": _order(11)})
    accepted = [
        _accepted(result) for result in demo.post("/v1/notifications/batch", {"notifications": orders})["results"]
    ]
    for number in range(1, 11):
        body = {"to": seed.user_id(number), "template": "sign_in_code", "data": {"code": f"{number * 4_711:06}"}}
        accepted.append(demo.post("/v1/notifications", body)["id"])
    sale = {"template": "summer_sale", "data": {"percent": 20, "day": "Sunday"}}
    for audience, channel in (({"all": True}, Channel.INAPP), ({"topic": seed.TOPIC}, Channel.PUSH)):
        accepted.append(demo.post("/v1/broadcasts", {"audience": audience, "channels": [channel], **sale})["id"])
    return accepted


def watch(demo: Remote, accepted: list[str], report: Callable[[int, int], None]) -> DemoResult:
    """Poll until all deliveries are terminal or the deadline has passed. `report` gets the number of terminal
    deliveries and that of all."""
    found: dict[str, list[Delivery]] = {}
    unfinished = list(accepted)
    deadline = time.monotonic() + DEADLINE_S
    while unfinished and time.monotonic() < deadline:
        for id_ in list(unfinished):
            found[id_], done = (_broadcast if id_.startswith("brd_") else _notification)(demo, id_)
            if done:
                unfinished.remove(id_)
        deliveries = [delivery for one in found.values() for delivery in one]
        report(sum(delivery.is_final for delivery in deliveries), len(deliveries))
        if unfinished:
            time.sleep(_POLL_S)
    return DemoResult(accepted, [delivery for one in found.values() for delivery in one], unfinished)


def _notification(demo: Remote, id_: str) -> tuple[list[Delivery], bool]:
    """Return a notification's deliveries so far and whether all of them are terminal."""
    try:
        answer = demo.get(f"/v1/notifications/{id_}")
    except RequestRefused as refused:
        if refused.status == 404:
            return [], False
        raise
    deliveries = [_delivery(one, answer["created_at"]) for one in answer["deliveries"]]
    return deliveries, bool(deliveries) and all(delivery.is_final for delivery in deliveries)


def _broadcast(demo: Remote, id_: str) -> tuple[list[Delivery], bool]:
    """Return a broadcast's deliveries so far and whether it is fully planned and all of them are terminal."""
    answer = demo.get(f"/v1/broadcasts/{id_}")
    rows = demo.pages(f"/v1/broadcasts/{id_}/deliveries")
    deliveries = [_delivery(one, answer["created_at"]) for one in rows]
    expected = answer["planned"] + answer["skipped"]
    done = answer["status"] == "done" and len(deliveries) == expected
    return deliveries, done and all(delivery.is_final for delivery in deliveries)


def _delivery(row: dict[str, Any], accepted_at: str) -> Delivery:
    finished = row.get("finished_at")
    latency_ms = None
    if finished is not None and row["state"] in ("sent", "delivered"):
        latency_ms = (datetime.fromisoformat(finished) - datetime.fromisoformat(accepted_at)).total_seconds() * 1000
    attempts = len(row.get("attempts") or [])
    return Delivery(row["id"], row["channel"], row["state"], row["reason"], row.get("provider"), attempts, latency_ms)


def _accepted(result: dict[str, Any]) -> str:
    if "error" in result:
        raise OperatorError(f"the demo's own request was refused: {result['error']}")
    return str(result["id"])


def _order(number: int) -> dict[str, Any]:
    return {"order": f"A-{1000 + number}", "day": "tomorrow", "items": ["running shoes", "two pairs of socks"]}
