"""The facts of a batch are prefetched; a missing fact is requested at once, and costs a second turn."""

import msgspec
import pytest

from clarion.domain.limits import DIGEST_ITEMS_MAX
from clarion.domain.workflow import Workflow
from clarion.plan.workflow.next_steps import NO_NEXT_STEPS, next_steps
from tests.unit.workflow.test_steps import HOUR_MS, MINUTE_MS, SEND

LONG = {
    "steps": [
        {"kind": "throttle", "name": "t", "limit": 3, "per": "1h", "key": "data.topic"},
        {"kind": "condition", "name": "c", "if": "data.urgent", "otherwise": "d"},
        {"kind": "send", "name": "now", "template": "now", "next": "end"},
        {"kind": "digest", "name": "d", "window": {"fixed": "10m"}},
        {"kind": "send", "name": "s", "template": "later", "category": "news"},
        {"kind": "wait_until", "name": "w", "seen": "s", "timeout": "1h"},
        {"kind": "condition", "name": "again", "if": "steps.s.seen", "then": "end"},
        {"kind": "send", "name": "remind", "template": "reminder"},
    ]
}


def ahead(name: str) -> tuple[list[str], list[str], bool]:
    found = next_steps(msgspec.convert(LONG, Workflow), name)
    return [step.name for step in found.sends], [step.name for step in found.keyed], found.asks_seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", (["now"], ["d", "t"], False)),
        ("d", (["s"], [], True)),
        ("w", (["remind"], [], True)),
        ("remind", ([], [], False)),
        ("renamed since", ([], [], False)),
    ],
)
def test_the_outlook_ends_where_an_instance_waits(name, expected):
    sends, keyed, asks_seen = ahead(name)
    assert (sorted(sends), sorted(keyed), asks_seen) == expected


def test_a_removed_workflow_has_no_outlook():
    assert NO_NEXT_STEPS.sends == ()


async def test_a_long_instance_takes_no_turn_twice(flow_of):
    flow = flow_of(w=LONG)
    for n in range(4):
        for user in ("u1", "u2", "u3"):
            await flow.trigger("w", user, data={"topic": "a", "urgent": n == 0})
    ids_ = [await flow.trigger("w", "u4", data={"topic": "a", "urgent": False})]
    await flow.pass_ms(11 * MINUTE_MS)
    await flow.see(ids_[0], "u4")
    await flow.pass_ms(2 * HOUR_MS)
    assert [step for step, _ in flow.sent_to("u1")] == ["now", "s", "remind"]
    assert [step for step, _ in flow.sent_to("u4")] == ["s"]
    assert flow.rounds == 0


async def test_events_and_cancellations_are_prefetched_too(flow_of):
    steps = [{"kind": "wait_until", "name": "w", "event": "paid", "where": "event.sum > 1", "timeout": "1h"}, SEND]
    flow = flow_of(w={"steps": steps})
    paid, _, gone = [await flow.trigger("w", user) for user in ("u1", "u2", "u3")]
    await flow.settle()
    await flow.event("paid", "u1", sum=2)
    await flow.event("paid", "u2", sum=1)
    await flow.cancel(gone)
    await flow.pass_ms(2 * HOUR_MS)
    assert paid
    assert flow.endings() == {"completed": 2, "cancelled": 1}
    assert flow.rounds == 0


async def test_missing_facts_are_requested_without_side_effects(flow_of):
    flow = flow_of(w={"steps": [{"kind": "digest", "name": "d", "window": {"fixed": "1h"}}, SEND]})
    others = [await flow.trigger("w", f"u{n}") for n in range(2, 5)]
    for n in range(DIGEST_ITEMS_MAX):
        await flow.trigger("w", "u1", data={"n": n})
    await flow.settle()
    assert flow.rounds > 0, "a digest that is full closes before its time"
    await flow.pass_ms(2 * HOUR_MS)
    assert flow.endings() == {"completed": 1 + len(others), "merged": DIGEST_ITEMS_MAX - 1}
    assert len(flow.sent) == 1 + len(others)
