"""The requests of the case `workflows`: workflows that delay, collect and wait, and triggers drawn by seed."""

import random
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from clarion_lab.chaos.drive import Plan
from clarion_lab.load import people

INSTANCES: Final = 2_000
USERS: Final = 60
DIGEST_USERS: Final = 4
"""Few threads, so that a digest collects many events."""
THREADS: Final = 2
LIST_USERS: Final = 4
BATCH_ITEMS: Final = 8
TIMEOUT_S: Final = 12
EVENT: Final = "chaos.answered"
MESSAGE: Final = "message"
DIGEST: Final = "digest"
WORKFLOWS: Final = {
    "delay_1": 2, "delay_3": 2, "delay_5": 2, "digest_fixed": 8, "digest_sliding": 8, "answer": 5, "look": 4,
}  # fmt: skip
"""Workflows and their weights among triggers."""
SHAPES: Final = {"single": 5, "list": 1, "batch": 2}
MESSAGES: Final = {"delay": 2, "digest": 0, "answer": 2, "look": 1}
"""The least number of messages for each recipient of a trigger, by kind; those of a digest are for all that it
collected."""


class Trigger(NamedTuple):
    """A notification that starts `workflow` for each of `users`. `number` is unique in the run; digests collect by
    `thread`."""

    number: int
    workflow: str
    users: tuple[str, ...]
    thread: str

    @property
    def kind(self) -> str:
        """Return the kind of its workflow: `delay`, `digest`, `answer` or `look`."""
        return self.workflow.partition("_")[0]


class TriggerRequest(NamedTuple):
    """A request and the triggers in it, in order."""

    plan: Plan
    triggers: list[Trigger]


def templates() -> dict[str, dict[str, Any]]:
    """Return the bodies of the templates by key: their pushes carry the data that the oracle needs."""
    items = {MESSAGE: "", DIGEST: "{% for item in digest.items %}{{ item.number }} {% endfor %}"}
    return {key: {"channels": {"push": _push(found)}} for key, found in items.items()}


def _push(items: str) -> dict[str, Any]:
    reported = {name: f"{{{{ {name} }}}}" for name in ("step", "workflow", "number", "thread")}
    return {"title": "Chaos", "body": "{{ step }}", "data": {**reported, "items": items}}


def definitions() -> dict[str, dict[str, Any]]:
    """Return the bodies of the workflows by key."""
    window = {"fixed": {"fixed": "5s"}, "sliding": {"sliding": "2s", "at_most": "6s"}}
    collect = {"kind": "digest", "name": "collect", "key": "data.thread"}
    timeout = {"timeout": f"{TIMEOUT_S}s"}
    answered = {"event": EVENT, "where": "event.number == data.number", "on_timeout": "missed", **timeout}
    steps = {f"delay_{s}": [_send("first"), _pause(s), _send("second")] for s in (1, 3, 5)} | {
        "digest_fixed": [{**collect, "window": window["fixed"]}, _send("digest", DIGEST)],
        "digest_sliding": [_pause(1), {**collect, "window": window["sliding"]}, _send("digest", DIGEST)],
        "answer": [
            _send("ask"),
            {"kind": "wait_until", "name": "wait", **answered},
            {**_send("thanks"), "next": "end"},
            _send("missed"),
        ],
        "look": [
            _send("ask"),
            {"kind": "wait_until", "name": "wait", "seen": "ask", "next": "end", "on_timeout": "again", **timeout},
            _send("again"),
        ],
    }
    return {key: {"steps": found} for key, found in steps.items()}


def _send(name: str, template: str = MESSAGE) -> dict[str, Any]:
    return {"kind": "send", "name": name, "template": template, "data": {"step": f'"{name}"'}}


def _pause(seconds: int) -> dict[str, Any]:
    return {"kind": "delay", "name": "pause", "for": f"{seconds}s"}


def trigger_requests(seed: int, instances: int = INSTANCES) -> Iterator[TriggerRequest]:
    """Yield requests that start exactly the given number of instances."""
    chance = random.Random(seed)
    shapes, weights = list(SHAPES), list(SHAPES.values())
    left, number = instances, 0
    while left:
        shape = chance.choices(shapes, weights)[0]
        triggers: list[Trigger] = []
        for _ in range(BATCH_ITEMS if shape == "batch" else 1):
            number += 1
            triggers.append(_trigger(chance, number, min(left, LIST_USERS if shape == "list" else 1)))
            left -= len(triggers[-1].users)
            if not left:
                break
        yield TriggerRequest(_plan(f"chaos-{seed}-{number}", shape, triggers), triggers)


def _trigger(chance: random.Random, number: int, users: int) -> Trigger:
    workflow = chance.choices(list(WORKFLOWS), list(WORKFLOWS.values()))[0]
    crowd = DIGEST_USERS if workflow.startswith("digest") else USERS
    chosen = chance.sample(range(crowd), users)
    return Trigger(number, workflow, tuple(map(people.user_id, chosen)), f"t{chance.randrange(THREADS)}")


def _plan(key: str, shape: str, triggers: list[Trigger]) -> Plan:
    bodies = [_body(trigger) for trigger in triggers]
    path, body = ("/batch", {"notifications": bodies}) if shape == "batch" else ("", bodies[0])
    owed = [MESSAGES[trigger.kind] * len(trigger.users) for trigger in triggers]
    return Plan(key, shape, f"/v1/notifications{path}", msgspec.json.encode(body), owed)


def _body(trigger: Trigger) -> dict[str, Any]:
    data = {"number": trigger.number, "workflow": trigger.workflow, "thread": trigger.thread}
    return {"to": list(trigger.users), "workflow": trigger.workflow, "data": data}
