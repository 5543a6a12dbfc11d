"""Each kind of step, over each journal: the messages it sends, when, and how the instance ends."""

from datetime import UTC, datetime

import pytest

from clarion.domain.channel import Lane
from clarion.domain.content import Category
from clarion.domain.errors import EgressError, Sent
from clarion.domain.message import HttpResponse
from clarion.domain.policy import Policy
from clarion.domain.route import Route
from clarion.journal.events import Recipient
from tests.look import Glance

SEND = {"kind": "send", "name": "hello", "template": "hello"}
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def at(flow, text: str) -> None:
    """Set the clock."""
    wanted_ms = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
    flow.clock.pass_ms(wanted_ms - flow.clock.now_ms())


async def test_a_send_is_planned_like_any_notification_to_the_one_recipient(flow_of):
    step = {**SEND, "channels": ["push"], "data": {"name": "data.who + '!'"}, "category": "news"}
    flow = flow_of(w={"steps": [step]})
    flow.shelf.categories_["news"] = Category("news", lane=Lane.BULK)
    id_ = await flow.trigger("w", "u1", data={"who": "Ann", "more": 1}, metadata={"a": "b"}, ordering_key="o")
    await flow.settle()
    (item,) = flow.sent
    request = item.request
    assert (item.notification_id, item.step, item.lane) == (id_, "hello", Lane.BULK)
    assert (request.to, request.template, request.channels) == ([Recipient("u1")], "hello", ["push"])
    assert request.data == {"who": "Ann", "more": 1, "name": "Ann!"}
    assert (request.category, request.metadata, request.ordering_key) == ("news", {"a": "b"}, "o")
    assert (request.workflow, request.workflow_version) == ("w", 1)
    assert list(flow.stories().values()) == [["started", "step", "completed"]]
    assert flow.cell_keys() == []


async def test_a_route_is_passed_to_planning(flow_of):
    flow = flow_of(w={"steps": [{**SEND, "route": {"first": ["push", "sms"]}}]})
    await flow.trigger("w", "u1")
    await flow.settle()
    assert flow.sent[0].route == Route(first=("push", "sms"))


async def test_every_recipient_has_an_instance_in_the_partition_that_owns_them(flow_of):
    flow = flow_of(w={"steps": [SEND]})
    people = [f"u{n}" for n in range(20)]
    await flow.trigger("w", *people, Recipient(contacts={"email": "a@x.test"}))
    await flow.settle()
    assert sorted(item.request.to[0].user_id for item in flow.sent) == sorted(["", *people])
    assert flow.endings() == {"completed": 21}
    assert len({frame.notification_ids[0] for frame in flow.progress()}) == 1


async def test_a_delay_lasts_its_time(flow_of):
    flow = flow_of(w={"steps": [{"kind": "delay", "name": "d", "for": "3d"}, SEND]})
    await flow.trigger("w", "u1")
    await flow.pass_ms(3 * DAY_MS - 1)
    assert flow.sent == []
    await flow.pass_ms(1)
    assert flow.sent_to("u1") == [("hello", "hello")]
    assert list(flow.stories().values()) == [["started", "waiting", "step", "completed"]]


@pytest.mark.parametrize(
    ("zone", "now", "goes_on"),
    [
        ("Europe/Berlin", "2026-03-28T12:00", "2026-03-29T07:00"),  # the night clocks go forward
        ("Asia/Kolkata", "2026-03-28T03:29", "2026-03-28T03:30"),
        ("Asia/Kolkata", "2026-03-28T03:30", "2026-03-29T03:30"),
        ("", "2026-03-28T12:00", "2026-03-28T13:00"),  # the tenant's zone, New York
    ],
)
async def test_a_delay_until_a_local_time(flow_of, zone, now, goes_on):
    flow = flow_of(w={"steps": [{"kind": "delay", "name": "d", "at": "09:00"}, SEND]})
    flow.shelf.policy = Policy(zone="America/New_York")
    at(flow, now)
    await flow.trigger("w", Recipient(contacts={"phone": "+1"}, zone=zone))
    wait_ms = int((datetime.fromisoformat(goes_on) - datetime.fromisoformat(now)).total_seconds() * 1000)
    await flow.pass_ms(wait_ms - 1)
    assert flow.sent == []
    await flow.pass_ms(1)
    assert len(flow.sent) == 1


@pytest.mark.parametrize("given", ["2023-11-14T23:13:20Z", "2023-11-15T00:13:20+01:00"])
async def test_a_delay_until_an_instant_of_the_data(flow_of, given):
    flow = flow_of(w={"steps": [{"kind": "delay", "name": "d", "until": "data.at"}, SEND]})
    await flow.trigger("w", "u1", data={"at": given})
    await flow.pass_ms(HOUR_MS - 1)
    assert flow.sent == []
    await flow.pass_ms(1)
    assert len(flow.sent) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [("soon", "not an instant"), ("2023-11-14T23:13:20", "not an instant"), (7, "not an instant"),
     ("2099-01-01T00:00:00Z", "more than a year"), (None, "no value")],
)  # fmt: skip
async def test_an_invalid_instant_fails_the_instance_with_an_error(flow_of, given, says):
    flow = flow_of(w={"steps": [{"kind": "delay", "name": "d", "until": "data.at"}, SEND]})
    await flow.trigger("w", "u1", data={} if given is None else {"at": given})
    await flow.settle()
    assert flow.endings() == {"failed": 1}
    (detail,) = flow.details("failed")
    assert detail.startswith("step d: ")
    assert given is None or says in detail


async def test_a_past_instant_is_not_waited_for(flow_of):
    flow = flow_of(w={"steps": [{"kind": "delay", "name": "d", "until": "data.at"}, SEND]})
    await flow.trigger("w", "u1", data={"at": "2020-01-01T00:00:00Z"})
    await flow.settle()
    assert len(flow.sent) == 1


async def test_conditions_choose_the_branch(flow_of):
    steps = [
        {"kind": "set", "name": "s", "values": {"total": "data.a + data.b"}},
        {"kind": "condition", "name": "c", "if": "vars.total > 10", "then": "big", "otherwise": "small"},
        {**SEND, "name": "big", "next": "end"},
        {**SEND, "name": "small", "data": {"said": "steps.c.value"}},
    ]
    flow = flow_of(w={"steps": steps})
    await flow.trigger("w", "u1", data={"a": 5, "b": 6})
    await flow.trigger("w", "u2", data={"a": 5, "b": 5})
    await flow.settle()
    assert flow.sent_to("u1") == [("big", "hello")]
    assert flow.sent_to("u2") == [("small", "hello")]
    assert flow.sent[-1].request.data["said"] is False or flow.sent[0].request.data["said"] is False


@pytest.mark.parametrize(("condition", "says"), [("data.missing > 1", ""), ("data.a", "neither true nor false")])
async def test_a_condition_without_a_value_fails_but_earlier_messages_are_sent(flow_of, condition, says):
    flow = flow_of(w={"steps": [SEND, {"kind": "condition", "name": "c", "if": condition}]})
    await flow.trigger("w", "u1", data={"a": 1})
    await flow.settle()
    assert flow.endings() == {"failed": 1}
    assert says in flow.details("failed")[0] and "step c" in flow.details("failed")[0]
    assert len(flow.sent) == 1


async def test_has_tests_for_optional_data(flow_of):
    flow = flow_of(w={"steps": [{"kind": "condition", "name": "c", "if": "has(data.x)", "otherwise": "end"}, SEND]})
    await flow.trigger("w", "u1", data={})
    await flow.trigger("w", "u2", data={"x": 1})
    await flow.settle()
    assert [len(flow.sent_to(user)) for user in ("u1", "u2")] == [0, 1]
    assert flow.endings() == {"completed": 2}


async def test_a_throttle_bounds_the_number_in_any_span_and_forgets(flow_of):
    throttle = {"kind": "throttle", "name": "t", "limit": 2, "per": "1h", "key": "data.k", "otherwise": "late"}
    flow = flow_of(w={"steps": [throttle, {**SEND, "next": "end"}, {**SEND, "name": "late"}]})
    for minutes in (0, 30, 29, 2):  # at 0, 30, 59 and 61
        await flow.pass_ms(minutes * MINUTE_MS)
        await flow.trigger("w", "u1", data={"k": "a"})
    await flow.trigger("w", "u1", data={"k": "b"})
    await flow.trigger("w", "u2", data={"k": "a"})
    await flow.settle()
    assert [step for step, _ in flow.sent_to("u1")] == ["hello", "hello", "late", "hello", "hello"]
    assert [step for step, _ in flow.sent_to("u2")] == ["hello"]
    for _ in range(2):
        await flow.trigger("w", "u3", data={"k": "a"})
        await flow.pass_ms(30 * MINUTE_MS)
    await flow.pass_ms(3 * HOUR_MS)
    assert flow.cell_keys() == []


async def test_a_seen_message_ends_the_wait(flow_of):
    steps = [
        SEND,
        {"kind": "wait_until", "name": "w", "seen": "hello", "timeout": "2m", "on_timeout": "sms"},
        {"kind": "condition", "name": "c", "if": "steps.w.outcome == 'seen' && steps.hello.seen", "then": "end"},
        {**SEND, "name": "sms"},
    ]
    flow = flow_of(w={"steps": steps})
    seen, unseen = await flow.trigger("w", "u1"), await flow.trigger("w", "u2")
    await flow.pass_ms(MINUTE_MS)
    await flow.see(seen, "u1")
    await flow.see(seen, "u2")  # another notification than the one that waits
    await flow.settle()
    assert flow.endings() == {"completed": 1}
    await flow.pass_ms(MINUTE_MS)
    assert [step for step, _ in flow.sent_to("u1")] == ["hello"]
    assert [step for step, _ in flow.sent_to("u2")] == ["hello", "sms"]
    assert unseen and Glance(flow.journal).next_due_ms() is None


@pytest.mark.parametrize(("after_ms", "found_ms"), [(0, 0), (1_000, 2_000), (100_000, 120_000)])
async def test_a_missed_seen_event_is_found_by_polling(flow_of, after_ms, found_ms):
    wait = {"kind": "wait_until", "name": "w", "seen": "hello", "timeout": "2m"}
    flow = flow_of(w={"steps": [SEND, wait, {**SEND, "name": "after", "data": {"how": "steps.w.outcome"}}]})
    id_ = await flow.trigger("w", "u1")
    if after_ms:
        await flow.pass_ms(after_ms)
    flow.eyes.saw[id_, "u1"] = flow.clock.now_ms()
    await flow.pass_ms(max(found_ms - after_ms - 1, 0))
    assert flow.endings() == ({} if after_ms else {"completed": 1})
    await flow.pass_ms(1)
    assert flow.endings() == {"completed": 1}
    assert flow.sent[-1].request.data["how"] == "seen"


async def test_a_message_seen_before_a_step_sent_does_not_end_its_wait(flow_of):
    steps = [
        SEND,
        {"kind": "delay", "name": "d", "for": "1h"},
        {**SEND, "name": "again"},
        {"kind": "wait_until", "name": "w", "seen": "again", "timeout": "2m"},
        {**SEND, "name": "after", "data": {"how": "steps.w.outcome"}},
    ]
    flow = flow_of(w={"steps": steps})
    id_ = await flow.trigger("w", "u1")
    await flow.pass_ms(MINUTE_MS)
    await flow.see(id_, "u1")
    await flow.pass_ms(2 * HOUR_MS)
    assert flow.sent[-1].request.data["how"] == "timeout"


async def test_a_matching_event_ends_the_wait_and_adds_its_data(flow_of):
    steps = [
        {"kind": "wait_until", "name": "w", "event": "paid", "where": "event.id == data.id", "timeout": "1h",
         "on_timeout": "end"},
        {**SEND, "data": {"paid": "steps.w.event.amount"}},
    ]  # fmt: skip
    flow = flow_of(w={"steps": steps})
    await flow.trigger("w", "u1", data={"id": 1})
    await flow.trigger("w", "u2", data={"id": 2})
    await flow.settle()
    await flow.event("paid", "u1", id=2, amount=5)
    await flow.event("paid", "u1", amount=6)
    await flow.event("paid", "u3", id=1, amount=7)
    await flow.settle()
    assert flow.sent == []
    await flow.event("paid", "u1", id=1, amount=8)
    await flow.event("paid", "u1", id=1, amount=9)
    await flow.settle()
    assert [item.request.data["paid"] for item in flow.sent] == [8]
    await flow.pass_ms(HOUR_MS)
    assert flow.endings() == {"completed": 2} and len(flow.sent) == 1
    assert Glance(flow.journal).waits("acme", b"e4:paidu1") == []


async def test_a_fetch_brings_its_answer(flow_of):
    fetch = {
        "kind": "fetch", "name": "f", "url": "https://x.test/{data.id}?q={data.q}", "method": "POST",
        "headers": {"X-Key": "k {data.q}"}, "body": "{'id': data.id}",
    }  # fmt: skip
    flow = flow_of(w={"steps": [fetch, {**SEND, "data": {"said": "steps.f.body.a", "status": "steps.f.status"}}]})
    flow.server.answers = [lambda: HttpResponse(200, {}, b'{"a": [1]}')]
    await flow.trigger("w", "u1", data={"id": "../a/b#c", "q": "x y"})
    await flow.settle()
    (asked,) = flow.server.asked
    assert asked.url == "https://x.test/..%2Fa%2Fb%23c?q=x%20y"
    assert (asked.method, asked.headers["x-key"], asked.body) == ("POST", "k x y", b'{"id":"../a/b#c"}')
    assert flow.sent[0].request.data["said"] == [1] and flow.sent[0].request.data["status"] == 200


@pytest.mark.parametrize(("on_error", "ending"), [("end", "failed"), ("continue", "completed")])
async def test_a_fetch_that_fails_follows_its_policy(flow_of, on_error, ending):
    def refused() -> HttpResponse:
        raise EgressError("refused", sent=Sent.NO)

    fetch = {"kind": "fetch", "name": "f", "url": "https://x.test/", "attempts": 3, "on_error": on_error}
    flow = flow_of(w={"steps": [fetch, {**SEND, "data": {"why": "steps.f.error"}}]})
    flow.server.answers = [refused, lambda: HttpResponse(503, {}, b""), lambda: HttpResponse(200, {}, b"x" * 70_000)]
    await flow.trigger("w", "u1")
    await flow.pass_ms(5 * MINUTE_MS)
    assert len(flow.server.asked) == 3
    assert flow.endings() == {ending: 1}
    assert [item.request.data["why"] for item in flow.sent] == (
        [] if on_error == "end" else ["the answer is longer than 65536 bytes"]
    )


async def test_a_fetch_lost_with_its_worker_is_made_again(flow_of):
    flow = flow_of(w={"steps": [{"kind": "fetch", "name": "f", "url": "https://x.test/", "attempts": 1}, SEND]})
    flow.fetching = False
    await flow.trigger("w", "u1")
    await flow.settle()
    flow.fetching = True
    await flow.pass_ms(MINUTE_MS)
    assert len(flow.server.asked) == 1 and len(flow.sent) == 1
    keys = {request.headers["idempotency-key"] for request in flow.server.asked}
    assert len(keys) == 1


async def test_an_answer_after_the_timeout_of_its_call_changes_nothing(flow_of):
    flow = flow_of(w={"steps": [{"kind": "fetch", "name": "f", "url": "https://x.test/", "attempts": 2}, SEND]})
    flow.server.answers = [lambda: HttpResponse(500, {}, b""), lambda: HttpResponse(200, {}, b"{}")]
    await flow.trigger("w", "u1")
    await flow.settle()
    flow.fetching = False
    await flow.pass_ms(39_999)  # the second call began after a second, and is still out
    await flow.pass_ms(1)  # the timer of the first call
    assert len(flow.called) == 2
    flow.fetching = True
    await flow.pass_ms(MINUTE_MS)
    assert flow.endings() == {"completed": 1} and len(flow.server.asked) == 2


async def test_a_fetch_that_is_never_made_does_not_block_the_instance(flow_of):
    flow = flow_of(w={"steps": [{"kind": "fetch", "name": "f", "url": "https://x.test/", "attempts": 1}, SEND]})
    flow.fetching = False
    await flow.trigger("w", "u1")
    await flow.pass_ms(HOUR_MS)
    assert flow.endings() == {"failed": 1} and "no answer" in flow.details("failed")[0]


@pytest.mark.parametrize(("given", "calls"), [("..", 0), (".", 0), ("...", 1), ("a/../..", 1)])
async def test_data_cannot_escape_the_path(flow_of, given, calls):
    flow = flow_of(w={"steps": [{"kind": "fetch", "name": "f", "url": "https://x.test/api/{data.id}/x"}]})
    await flow.trigger("w", "u1", data={"id": given})
    await flow.settle()
    assert len(flow.server.asked) == calls
    assert not flow.server.asked or flow.server.asked[0].url.count("/") == 5


async def test_a_header_cannot_be_split(flow_of):
    fetch = {"kind": "fetch", "name": "f", "url": "https://x.test/", "headers": {"a": "{data.x}"}}
    flow = flow_of(w={"steps": [fetch]})
    await flow.trigger("w", "u1", data={"x": "1\r\nb: 2"})
    await flow.settle()
    assert flow.server.asked == [] and flow.endings() == {"failed": 1}


async def test_state_has_a_bound(flow_of):
    names = [f"s{n}" for n in range(4)]
    steps = [{"kind": "set", "name": name, "values": {name: "data.x + data.x + data.x + data.x"}} for name in names]
    flow = flow_of(w={"steps": [SEND, *steps, {"kind": "delay", "name": "d", "for": "1h"}]})
    await flow.trigger("w", "u1", data={"x": "x" * 60_000, "rest": "y" * 190_000})
    await flow.trigger("w", "u2", data={"x": "x"})
    await flow.settle()
    assert flow.endings() == {"failed": 1} and "larger" in flow.details("failed")[0]
    assert len(flow.sent_to("u1")) == 1, "earlier messages stay sent"
    await flow.pass_ms(HOUR_MS)
    assert flow.endings() == {"failed": 1, "completed": 1} and flow.cell_keys() == []
