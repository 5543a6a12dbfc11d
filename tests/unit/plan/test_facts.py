"""Facts of sends as values: gathered facts are found, missing ones are requested, unreadable ones fail alone."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Category, Template
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.domain.user import Profile, User
from clarion.journal.codec import decode
from clarion.journal.events import ChunkFrame, ChunkReleasedFrame, PlannedFrame, Recipient, Request
from clarion.journal.rows import deliver_rows
from clarion.plan.batch import decide_batch
from clarion.plan.broadcast.release import Released, broadcast_of, decide_release, release_key
from clarion.plan.claims import CAPS, Claims
from clarion.plan.columns import PlanItem
from clarion.plan.facts import (
    BROADCASTS,
    PROFILES,
    REQUEST_FACTS,
    SENDS,
    SUPPRESSING,
    SUPPRESSIONS,
    USERS,
    SendFacts,
    Suppressions,
)
from clarion.plan.gather_each import read_each
from clarion.plan.plan_writer import Plan
from clarion.plan.request_facts import request_facts_key
from clarion.plan.rules.need import MissingFacts, Need, merged
from clarion.plan.rules.request_facts import CapRule, RequestFacts
from tests.stages.world import TENANT

NOW_MS = 1_700_000_000_000
CAP = CapRule(b"rule-one", "1 per 1h", None, 1, 3600)
SETTING = RequestFacts(
    template=Template("hello", 1, None, {Channel.SMS: {}}),
    category=Category("news"),
    channels=(Channel.SMS,),
    sendable=frozenset({Channel.SMS}),
    defaults={},
    caps=(CAP,),
)


def asked(*to: Recipient) -> Request:
    return Request(list(to), "hello", None, None, Lane.NORMAL, {})


def item(number: int, *user_ids: str) -> PlanItem:
    id_ = ids.notification_id(NOW_MS, 0, number.to_bytes(ids.ENTROPY_BYTES, "big"))
    return PlanItem(Lane.NORMAL, id_, TENANT, NOW_MS, asked(*map(Recipient, user_ids)))


def user(user_id: str, ordinal: int = 1) -> User:
    return User(user_id, ordinal, 1, phone=f"phone-of-{user_id}")


def facts(*users: User, **more: object) -> SendFacts:
    values: dict[str, object] = {
        "request_facts": {request_facts_key(TENANT, asked()): SETTING},
        "users": {TENANT: {one.user_id: one for one in users}},
        "profiles": {1: Profile(1, "UTC", {})},
        "suppressions": {TENANT: None},
        "caps": {(TENANT, CAP.rule): {0: memoryview(bytearray(CAP_BLOCK_USERS * 4)).cast("I")}},
        **more,
    }
    return SendFacts(**values)  # type: ignore[arg-type]


def plan(known: SendFacts, *items: PlanItem) -> Plan | Need:
    return decide_batch(items, [], known, known.claims(NOW_MS), 0, NOW_MS)


def fates(planned: Plan | Need) -> list[tuple[str, Reason]]:
    assert isinstance(planned, Plan)
    (frame,) = [event for one in planned.frames if isinstance(event := decode(one.payload), PlannedFrame)]
    return [(name, Reason(reason)) for name, reason in zip(frame.user_ids, frame.reasons, strict=True)]


@pytest.mark.parametrize(
    ("look", "kind"),
    [
        (lambda known: known.request_facts_of(TENANT, asked()), REQUEST_FACTS),
        (lambda known: known.user(TENANT, "u"), USERS),
        (lambda known: known.profile(1), PROFILES),
        (lambda known: known.gate(SETTING, 1, "UTC", NOW_MS), PROFILES),
        (lambda known: known.suppressed(TENANT), SUPPRESSING),
        (lambda known: known.is_cancelled(b"b"), BROADCASTS),
        (lambda known: known.claims(NOW_MS).of(TENANT).claim(1, (CAP,)), CAPS),
        (lambda known: known.claims(NOW_MS).of(TENANT).claim_all([1], (CAP,)), CAPS),
    ],
)
def test_missing_facts_are_requested(look, kind):
    with pytest.raises(MissingFacts) as missing_facts:
        look(SendFacts())
    assert list(missing_facts.value.need.kinds()) == [kind]


def test_an_address_without_a_lookup_is_requested():
    known = Suppressions(TENANT, {})
    known.add({(Channel.SMS, "one"): "bounced", (Channel.SMS, "two"): None})
    assert known.get((Channel.SMS, "one")) == known[Channel.SMS, "one"] == "bounced"
    assert known.get((Channel.SMS, "two")) is None
    assert (Channel.SMS, "two") not in known
    assert known.get((Channel.INAPP, "")) is None, "a channel without addresses is not suppressed"
    assert dict(known) == {(Channel.SMS, "one"): "bounced"}
    with pytest.raises(MissingFacts) as missing_facts:
        known.get((Channel.EMAIL, "one"))
    assert missing_facts.value.need == Need({SUPPRESSIONS: [(TENANT, Channel.EMAIL, "one")]})


def test_a_batch_names_all_its_missing_facts_at_once():
    need = plan(facts(user("known")), item(1, "known"), item(2, "a", "b"), item(3, "c"))
    assert isinstance(need, Need)
    assert need.of(USERS) == {(TENANT, "a"), (TENANT, "c")}
    key = request_facts_key(TENANT, asked())
    assert need.of(SENDS) == {(key, ("a", "b"), ()), (key, ("c",), ())}


def test_deciding_again_with_the_missing_facts_gives_the_same_result():
    items = (item(1, "a"), item(2, "b"), item(3, "a"))
    assert isinstance(plan(facts(user("a")), *items), Need)
    known = facts(user("a", 1), user("b", 2))
    assert plan(known, *items) == plan(known, *items)
    assert fates(plan(known, *items)) == [("a", Reason.NONE), ("b", Reason.NONE), ("a", Reason.CAPPED)]


def test_claims_of_a_decision_change_no_fact():
    known = facts(user("a"))
    claims = known.claims(NOW_MS)
    decide_batch([item(1, "a")], [], known, claims, 0, NOW_MS)
    (write,) = claims.writes()
    assert (write.tenant, write.rule, write.block) == (TENANT, CAP.rule, 0)
    assert not any(known.caps[TENANT, CAP.rule][0])


def test_unreadable_facts_fail_only_their_notification():
    failures = {(USERS, (TENANT, "unreadable")): ValueError("no user")}
    known = facts(user("a"), user("b", 2), failures=failures)
    planned = plan(known, item(1, "a"), item(2, "unreadable"), item(3, "b"))
    assert fates(planned) == [("a", Reason.NONE), ("unreadable", Reason.POISON), ("b", Reason.NONE)]
    assert isinstance(planned, Plan)
    (result,) = planned.log_lines
    assert (result.level, result.event, result.fields["tenant"]) == ("error", "planning_failed", TENANT)
    rows = [row for one in planned.frames for row in sent(one.payload)]
    assert rows == ["phone-of-a", "phone-of-b"]


def sent(payload: bytes) -> list[str]:
    event = decode(payload)
    return [] if isinstance(event, PlannedFrame) else [row.address for row in deliver_rows(event)]  # type: ignore[arg-type]


def held_chunk() -> ChunkFrame:
    states = bytes([State.HELD, State.HELD])
    return ChunkFrame(
        chunk_id=ids.notification_id(NOW_MS, 0, bytes(ids.ENTROPY_BYTES)) + bytes(8),
        tenant=TENANT,
        channel="sms",
        locale="",
        content="hello",
        category="",
        data={},
        planned_ms=NOW_MS,
        expires_ms=None,
        metadata=None,
        ordinals=[1, 2],
        user_ids=["a", "gone"],
        states=states,
        reasons=bytes(2),
        addresses=["phone-of-a", "phone-of-gone"],
        users=[],
        template="hello",
    )


def release(known: SendFacts) -> Released | Need:
    return decide_release(held_chunk(), known, known.claims(NOW_MS), 0, NOW_MS)


def released_states(result: Released | Need) -> list[tuple[State, Reason]]:
    assert isinstance(result, Released)
    (frame,) = [event for one in result.frames if isinstance(event := decode(one.payload), ChunkReleasedFrame)]
    return [(State(state), Reason(reason)) for state, reason in zip(frame.states, frame.reasons, strict=True)]


def test_a_held_chunk_names_all_its_missing_facts_at_once():
    chunk = held_chunk()
    need = release(SendFacts())
    assert isinstance(need, Need)
    assert need == Need({SENDS: [release_key(chunk)], BROADCASTS: [broadcast_of(chunk)]})


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_held_chunk_is_released_from_facts_alone(cancelled):
    chunk = held_chunk()
    (key, _, _), broadcast = release_key(chunk), broadcast_of(chunk)
    users = {TENANT: {"a": user("a"), "gone": None}}
    known = facts(request_facts={key: SETTING}, users=users, cancelled={broadcast: cancelled})
    expected = [(State.SKIPPED, Reason.CANCELLED)] * 2
    if not cancelled:
        expected = [(State.PLANNED, Reason.NONE), (State.SKIPPED, Reason.UNKNOWN_USER)]
    assert released_states(release(known)) == expected


@given(st.lists(st.dictionaries(st.sampled_from("xyz"), st.sets(st.integers(0, 5), min_size=1))))
def test_merged_needs_hold_the_keys_of_each(asked_for):
    needs = [Need(one) for one in asked_for]
    together = merged(needs)
    one_by_one = Need()
    for need in needs:
        one_by_one |= need
    assert together == one_by_one


def test_one_that_cannot_be_read_is_read_alone():
    calls: list[list[int]] = []

    async def read(keys):
        calls.append(list(keys))
        if 3 in keys:
            raise ValueError("three")
        return {key: str(key) for key in keys}

    found, failed = asyncio.run(read_each(read, [1, 2, 3]))
    assert found == {1: "1", 2: "2"}
    assert {key: str(error) for key, error in failed.items()} == {3: "three"}
    assert calls == [[1, 2, 3], [1], [2], [3]]


def test_claims_see_their_own_writes_and_can_be_undone():
    claims = Claims({(TENANT, CAP.rule): {0: memoryview(bytearray(CAP_BLOCK_USERS * 4)).cast("I")}}, NOW_MS)
    mark = claims.mark()
    room = claims.of(TENANT)
    assert room.claim(1, (CAP,)) is None
    assert room.claim(1, (CAP,)) == (CAP, NOW_MS // 1000 + CAP.gap_s)
    claims.undo(mark)
    assert claims.writes() == []
    assert room.claim(1, (CAP,)) is None
