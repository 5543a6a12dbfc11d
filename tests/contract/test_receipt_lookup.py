"""Stored delivery receipts: in the rows of deliveries and chunks, with the vendors' ids, and account health."""

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event, State
from clarion.domain.limits_delivery import RECEIPTS_KEPT_MAX
from clarion.history.rules.timeline import attempts, moments
from tests.contract import ledgers as world

PORT = "history"
SECOND = world.SINGLES + 1
"""A delivery of the chunk."""


async def fold(state, *frames):
    await world.fold_all(state, [world.stored(frames)])


async def lookups(state, person):
    return [(one.event, one.applied) for one in await state.history.attempts_of(world.TENANT, [world.id_of(person)])]


async def row(state, person):
    return (await state.history.deliveries(world.TENANT, [world.id_of(person)]))[world.id_of(person)]


async def test_a_delivery_is_confirmed_and_later_receipts_are_recorded(state):
    await fold(
        state, world.planned(0), world.attempted(0, Event.ACCEPTED), world.receipt(0, "delivered", world.AT_MS + 70)
    )
    await fold(state, world.receipt(0, "opened", world.AT_MS + 80), world.receipt(0, "bounced", world.AT_MS + 90))
    await fold(state, world.receipt(0, "delivered", world.AT_MS + 95))
    assert (await row(state, 0)).state is State.DELIVERED
    assert await lookups(state, 0) == [("confirmed", True), ("opened", True), ("bounced", False)]
    found = await row(state, 0)
    story = await state.history.attempts_of(world.TENANT, [found.id])
    assert [one.event for one in attempts(found, story)] == ["accepted"]
    notification = await state.history.notification(world.TENANT, world.NOTIFICATIONS[0])
    shown = [moment.event for moment in moments(notification, [found], story, None)]
    assert shown == ["accepted", "planned", "accepted", "confirmed", "opened", "late_bounced"]


async def test_endless_opens_of_a_mail_are_counted_and_recorded_a_hundred_times(state):
    await fold(state, world.planned(0), world.attempted(0, Event.ACCEPTED))
    for start in (0, 60):
        await fold(state, *(world.receipt(0, "opened", world.AT_MS + 70 + start + number) for number in range(60)))
    assert await lookups(state, 0) == [("opened", True)] * RECEIPTS_KEPT_MAX
    assert (
        sum(
            count
            for *_, what, _, count in await state.history.counters(world.TENANT, 0, 1 << 47, 99)
            if what == "opened"
        )
        == 120
    )
    await fold(state, world.receipt(0, "clicked", world.AT_MS + 500), world.receipt(0, "delivered", world.AT_MS + 501))
    assert (await lookups(state, 0))[-2:] == [("clicked", True), ("confirmed", True)]


async def test_a_bounce_fails_with_the_words_of_the_provider(state):
    await fold(
        state,
        world.planned(0),
        world.attempted(0, Event.ACCEPTED),
        world.receipt(0, "bounced", detail="550 no such user"),
    )
    found = await row(state, 0)
    assert (found.state, found.reason, found.detail) == (State.FAILED, Reason.BOUNCED, "550 no such user")
    await fold(state, world.receipt(0, "bounced", world.AT_MS + 99), world.receipt(0, "complained", world.AT_MS + 99))
    assert await lookups(state, 0) == [("bounced", True), ("complained", True)]


async def test_a_receipt_may_come_before_the_result_of_its_attempt(state):
    await fold(state, world.planned(0), world.intent(0), world.receipt(0, "delivered"))
    await fold(state, world.attempted(0, Event.ACCEPTED, at_ms=world.AT_MS + 100))
    found = await row(state, 0)
    assert (found.state, found.accepted_attempt, found.vendor_message_id) == (State.DELIVERED, 1, "message-1")
    assert await lookups(state, 0) == [("confirmed", True)]


async def test_receipts_of_a_broadcast_change_bytes_and_only_failures_make_rows(state):
    sent = bytes([State.SENT]) * world.CHUNK_SIZE
    await fold(state, world.chunk(), world.chunk_intent(0, world.CHUNK_SIZE), world.chunk_attempted(0, sent))
    await fold(state, *(world.receipt(SECOND, kind) for kind in ("deferred", "delivered", "opened")))
    assert (await state.ledger.chunk_states(world.CHUNK))[1] == State.DELIVERED
    assert await state.history.deliveries_of(world.TENANT, [world.BROADCAST]) == {}
    await fold(state, world.receipt(SECOND + 1, "bounced", detail="full"), world.receipt(SECOND, "complained"))
    found = (await state.history.deliveries_of(world.TENANT, [world.BROADCAST]))[world.BROADCAST]
    assert {(one.user_id, one.state, one.reason, one.accepted_attempt) for one in found} == {
        ("user-1", State.DELIVERED, 0, 1),
        ("user-2", State.FAILED, Reason.BOUNCED, 1),
    }
    assert bytes((await state.ledger.chunk_states(world.CHUNK))[:3]) == bytes(
        [State.SENT, State.DELIVERED, State.FAILED]
    )
    assert {state_: count for _, state_, _, count in await state.history.totals(world.TENANT, world.BROADCAST)} == {
        State.SENT: world.CHUNK_SIZE - 2, State.DELIVERED: 1, State.FAILED: 1,
    }  # fmt: skip


async def test_a_place_outside_the_chunk_is_nobody(state):
    await fold(state, world.chunk())
    frame = world.receipt(SECOND, "bounced")
    frame.places = [(world.CHUNK, 999)]
    await fold(state, frame)
    assert await state.history.deliveries_of(world.TENANT, [world.BROADCAST]) == {}


async def test_the_vendors_own_id_finds_a_delivery_of_its_tenant(state):
    await fold(state, world.planned(0), world.attempted(0, Event.ACCEPTED, vendor="ses"))
    assert (await state.history.deliveries_by_vendor_id(world.TENANT, "ses", ["none", "message-1"]))[
        "message-1"
    ].id == world.id_of(0)
    for tenant, vendor, id_ in (
        ("other", "ses", "message-1"),
        (world.TENANT, "twilio", "message-1"),
        (world.TENANT, "ses", ""),
    ):
        assert await state.history.deliveries_by_vendor_id(tenant, vendor, [id_]) == {}


async def test_account_health_is_stored_newest_first(state):
    await fold(
        state,
        world.health_frame("closed", "open"),
        world.health_frame("open", "half_open"),
        world.health_frame("half_open", "closed", world.AT_MS + 5),
    )
    await fold(state, world.health_frame("closed", "degraded", world.AT_MS + 5, "fcm-2"))
    found = await state.history.health_changes(world.TENANT, "fcm-1", world.AT_MS, world.AT_MS + 10, 10)
    assert [(one.before, one.state) for one in found] == [
        ("half_open", "closed"),
        ("open", "half_open"),
        ("closed", "open"),
    ]
    assert len(await state.history.health_changes(world.TENANT, None, world.AT_MS, world.AT_MS + 10, 10)) == 4
    assert await state.history.health_changes("other", None, 0, 1 << 45, 10) == []


async def test_a_chunk_is_found_by_its_tenant(state):
    await fold(state, world.chunk())
    assert (await state.history.chunks_by_id(world.TENANT, [world.CHUNK]))[world.CHUNK].count == world.CHUNK_SIZE
    assert await state.history.chunks_by_id("other", [world.CHUNK]) == {}
