"""The decisions that the demo shows besides its table: comments that become one message, a sale that waits, and why."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from clarion.app.cli.remote import Remote
from clarion_lab.demo import seed

COMMENTS: Final = 20
DEADLINE_S: Final = 15.0
_POLL_S: Final = 0.1
_NUMBER: Final = 6
_USER: Final = seed.user_id(_NUMBER)
_QUIET_HOURS: Final = f"/v1/users/{_USER}/quiet-hours"


def show(demo: Remote) -> Iterator[tuple[str, str]]:
    """Run these examples and yield lines as (name, text). The user's quiet hours are removed at the end."""
    comments = [
        {"to": _USER, "workflow": "comments", "data": {"name": f"runner {number}"}} for number in range(1, COMMENTS + 1)
    ]
    sent = demo.post("/v1/notifications/batch", {"notifications": comments})["results"]
    demo.put(_QUIET_HOURS, {"windows": [_night()]})
    try:
        yield from _sale(demo)
    finally:
        demo.delete(_QUIET_HOURS)
    yield "Digest", _poll(lambda: _collected(demo, [one["id"] for one in sent]))


def _night() -> dict[str, str]:
    """Return a window on the user's own clock that began an hour ago and lasts for eight more."""
    now = datetime.now(ZoneInfo(seed.zone_of(_NUMBER)))
    return {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=8):%H:%M}"}


def _sale(demo: Remote) -> Iterator[tuple[str, str]]:
    sale = {"to": _USER, "template": "summer_sale", "channels": ["push"], "data": {"percent": 20, "day": "Sunday"}}
    (reported,) = demo.post("/v1/notifications/explain", sale)["recipients"]
    (push,) = reported["channels"]
    rules = ", ".join(f"{rule['rule']} {rule['verdict']}" for rule in push["rules"])
    yield "Explain", f"the sale by push to {_USER}: {push['decision']} ({rules})"
    id_ = demo.post("/v1/notifications", sale)["id"]
    yield "Held", _poll(lambda: _waiting(demo, id_))


def _waiting(demo: Remote, id_: str) -> str:
    return "".join(
        f"{id_} is {row['state']} until {row['retry_at']}: {row['detail']}"
        for row in demo.get(f"/v1/notifications/{id_}")["deliveries"]
    )


def _collected(demo: Remote, ids: list[str]) -> str:
    """Return the result of the comments as a text, "" while some are under way."""
    reported = [demo.get(f"/v1/notifications/{id_}") for id_ in ids]
    ends = Counter(run["state"] for one in reported for run in one.get("instances", ()) if run["ended_at"])
    sent = [row["id"] for one in reported for row in one["deliveries"] if row["state"] == "sent"]
    if ends.total() < len(ids) or not sent:
        return ""
    reader = demo.with_credential(demo.post(f"/v1/users/{_USER}/tokens", {})["token"])
    titles = [item["content"]["title"] for item in reader.get("/v1/inbox")["data"] if item["id"] in sent]
    became = ", ".join(f"{number} {state}" for state, number in sorted(ends.items()))
    return f"{len(ids)} comments ({became}) are {len(titles)} item of {_USER}'s inbox: {'; '.join(titles)}"


def _poll(look: Callable[[], str]) -> str:
    """Return the first text that `look` finds, or a hint after the time-out."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return found or "took too long; see the log"
