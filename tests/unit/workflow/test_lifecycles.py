"""Lifecycles of instances: how they end, late and repeated events, and crashes."""

import msgspec
import pytest

from clarion.domain.channel import Lane
from clarion.domain.ids import partition_of
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AdvanceFrame
from clarion.journal.signals import cancel_key, signal
from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import PlanState, StageResult
from clarion.ports.streams import Frame
from tests.look import Glance
from tests.stages.flows import TENANT, advances, unlucky
from tests.unit.workflow.test_digests import digesting, digests
from tests.unit.workflow.test_steps import HOUR_MS, MINUTE_MS, SEND

DELAYED = {"steps": [{"kind": "delay", "name": "d", "for": "1h"}, SEND]}


@pytest.mark.parametrize("began", [False, True])
async def test_a_cancelled_notification_ends_all_its_instances(flow_of, began):
    flow = flow_of(w=DELAYED)
    id_ = await flow.trigger("w", *[f"u{n}" for n in range(10)])
    if began:
        await flow.settle()
    await flow.cancel(id_)
    await flow.settle()
    assert flow.endings() == {"cancelled": 10}
    await flow.pass_ms(2 * HOUR_MS)
    assert flow.sent == [] and flow.endings() == {"cancelled": 10}


async def test_a_new_holder_knows_the_cancellations(flow_of):
    flow = flow_of(w=DELAYED)
    first, second = await flow.trigger("w", "u1"), await flow.trigger("w", "u2")
    await flow.settle()
    await flow.cancel(first)
    flow.reborn()
    await flow.settle()
    await flow.cancel(second)
    await flow.settle()
    flow.reborn()
    await flow.pass_ms(HOUR_MS)
    assert flow.endings() == {"cancelled": 2} and flow.sent == []
    assert set(flow.cell_keys()) == {b"c"}, "the partitions know their position in the cancellations"


async def test_a_cancellation_key_ends_the_instances_of_its_notification(flow_of):
    flow = flow_of(w=DELAYED)
    id_ = await flow.trigger("w", "u1")
    await flow.settle()
    key = cancel_key("order-7")
    wait = Wait(TENANT, key, id_, topics.accepted(Lane.CRITICAL), partition_of(id_, 4), flow.clock.now_ms() + HOUR_MS)
    await flow.journal.commit(StageResult(plan_state=PlanState(waits=[wait])))
    await flow.journal.commit(StageResult(plan_state=PlanState(signals=[signal(TENANT, key, 0, {})])))
    await flow.settle()
    assert flow.endings() == {"cancelled": 1}


async def test_expiry_ends_an_instance_on_time(flow_of):
    flow = flow_of(w=DELAYED)
    await flow.trigger("w", "u1", expires_ms=flow.clock.now_ms() + 10 * MINUTE_MS)
    await flow.trigger("w", "u2", expires_ms=flow.clock.now_ms())
    await flow.pass_ms(10 * MINUTE_MS - 1)
    assert flow.endings() == {"expired": 1}
    await flow.pass_ms(1)
    assert flow.endings() == {"expired": 2}
    await flow.pass_ms(HOUR_MS)
    assert flow.endings() == {"expired": 2} and flow.sent == []


async def test_a_removed_workflow_fails_its_instances(flow_of):
    flow = flow_of()
    await flow.trigger("none", "u1", workflow_version=1)
    await flow.settle()
    assert flow.details("failed") == ["the workflow is gone"]


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "delay", "name": "d", "for": "1h"},
        {"kind": "wait_until", "name": "d", "event": "e", "timeout": "1h"},
        {"kind": "digest", "name": "d", "window": {"fixed": "1h"}},
    ],
)
async def test_a_clock_set_back_only_waits_again(flow_of, step):
    flow = flow_of(w={"steps": [step, SEND]})
    await flow.trigger("w", "u1", expires_ms=flow.clock.now_ms() + HOUR_MS + 1)
    await flow.settle()
    await flow.journal.fire(flow.clock.now_ms() + 2 * HOUR_MS, 10)
    await flow.settle()
    assert flow.sent == []
    await flow.pass_ms(HOUR_MS)
    assert flow.endings() == {"completed": 1} and len(flow.sent) == 1


async def test_repeated_or_late_causes_change_nothing(flow_of):
    wait = {"kind": "wait_until", "name": "w", "event": "e", "timeout": "1h"}
    flow = flow_of(w={"steps": [wait, {"kind": "delay", "name": "d", "for": "1h"}, SEND]})
    await flow.trigger("w", "u1")
    await flow.settle()
    await flow.event("e", "u1")
    await flow.event("e", "u1")
    await flow.settle()
    await flow.pass_ms(3 * HOUR_MS)
    moved = [
        stored for lane in Lane for p in range(4)
        for stored in Glance(flow.journal).read(topics.accepted(lane), p, 0)
    ]  # fmt: skip
    again = [Frame(one.topic, one.partition, one.count, one.payload) for one in moved if advances(one.payload)]
    assert again
    await flow.journal.commit(StageResult(frames=again))
    await flow.pass_ms(3 * HOUR_MS)
    assert flow.endings() == {"completed": 1} and len(flow.sent) == 1


async def test_a_bug_costs_one_instance_not_the_partition(flow_of, monkeypatch):
    flow = flow_of(w={"steps": [{"kind": "condition", "name": "c", "if": "data.a"}]})
    await flow.trigger("w", "u1", data={"a": 1})
    monkeypatch.setattr("clarion.plan.rules.workflow.enter._condition", lambda run, step: 1 / 0)
    await flow.settle()
    assert flow.details("failed") == ["internal error: ZeroDivisionError"]
    assert "workflow_crashed" in flow.notes.lines


async def test_a_frame_of_a_newer_build_is_reported_and_skipped(flow_of):
    flow = flow_of(w=DELAYED)
    frame = AdvanceFrame([bytes(24)], [TENANT], ["dance"], [0], [0], [b""])
    await flow.journal.commit(StageResult(frames=[Frame(topics.accepted(Lane.NORMAL), 0, 1, encode(frame, 1))]))
    await flow.settle()
    assert flow.notes.lines == ["unknown_cause"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
async def test_a_crash_before_any_append_does_not_change_the_result(flow_of, seed):
    steps = [
        {"kind": "digest", "name": "d", "window": {"fixed": "1h"}, "key": "data.k"},
        SEND,
        {"kind": "wait_until", "name": "w", "seen": "hello", "timeout": "10m", "on_timeout": "f"},
        {"kind": "condition", "name": "c", "if": "steps.w.outcome == 'seen'", "then": "end"},
        {"kind": "fetch", "name": "f", "url": "https://x.test/", "on_error": "continue"},
        {"kind": "throttle", "name": "t", "limit": 1, "per": "1d"},
        {**SEND, "name": "again"},
    ]
    flow = flow_of(w={"steps": steps}, plain=DELAYED)
    flow.crashes = unlucky(seed)
    number = 30
    for n in range(number):
        id_ = await flow.trigger("w", f"u{n % 3}", data={"n": n, "k": n % 2})
        await flow.pass_ms(n * 13_000)
        if n % 7 == 0:
            await flow.see(id_, f"u{n % 3}")
    await flow.trigger("plain", *[f"u{n}" for n in range(5)])
    await flow.pass_ms(48 * HOUR_MS)
    assert flow.died > 5
    stories = flow.stories().values()
    assert len(stories) == number + 5
    assert all(sum(event in ("completed", "merged") for event in story) == 1 for story in stories)
    sent = [one for one in flow.sent if one.step == "hello" and one.request.workflow == "w"]
    items = sorted(item["n"] for one in sent for item in one.request.data["digest"]["items"])
    assert items == list(range(number))
    ids = [(one.notification_id, one.request.to[0].user_id, one.step) for one in flow.sent]
    assert len(set(ids)) == len(ids)
    assert flow.cell_keys() == [] and Glance(flow.journal).next_due_ms() is None


async def test_a_stored_instance_is_readable_by_later_builds(flow_of):
    """Cells are arrays whose fields may be added at the end only; this is one as the first build wrote it."""
    flow = flow_of(w=digesting({"fixed": "1h"}))
    await flow.trigger("w", "u1", data={"n": 1})
    await flow.settle()
    (cell,) = [
        value for p in range(4) for key, value in Glance(flow.journal).cells_under(p, b"i", 10)
    ]  # fmt: skip
    fields = msgspec.msgpack.decode(cell)
    assert fields[:2] == [TENANT, "normal"] and len(fields) == 5
    await flow.pass_ms(HOUR_MS)
    assert digests(flow) == [[1]]
