"""Cancelling by key: found for as long as there is something to take back, and all of it at once."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.accept import intake_steering
from clarion.accept.cancelling import key_wait
from clarion.domain import ids
from clarion.domain.errors import InvalidField
from clarion.domain.ids import NOTIFICATION_PREFIX, read
from clarion.domain.limits_deciding import CANCELLATION_KEY_TTL_MS, WAIT_MS_MAX
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import CancelledFrame, Recipient, Request, SignalFrame
from clarion.journal.signals import cancel_key
from tests.look import Glance
from tests.stages.virtual import START_MS, run
from tests.unit.accept.entrance import BATCH, GOOD, ONE, Entrance

CANCEL = "/v1/notifications/cancel"
REQUEST = Request([Recipient("ana")], "hello", None, None, "normal", {}, cancellation_key="order 7")
ID = ids.notification_id(START_MS, 1, b"\x01" * ids.ENTROPY_BYTES)


@given(
    send_at_ms=st.none() | st.integers(START_MS, START_MS + WAIT_MS_MAX),
    expires_ms=st.none() | st.integers(START_MS, START_MS + 2 * WAIT_MS_MAX),
    workflow=st.sampled_from(["", "onboarding"]),
)
def test_a_key_is_kept_until_nothing_can_be_sent_any_more(send_at_ms, expires_ms, workflow):
    request = msgspec.structs.replace(REQUEST, send_at_ms=send_at_ms, expires_ms=expires_ms, workflow=workflow)
    wait = key_wait("acme", ID, START_MS, request)
    begins_ms = send_at_ms or START_MS
    assert (wait.tenant, wait.key, wait.subject) == ("acme", cancel_key("order 7"), ID)
    assert (wait.topic, wait.partition) == ("accepted.critical", 1)
    assert expires_ms is None or wait.expires_ms <= expires_ms
    if wait.expires_ms != expires_ms:
        assert wait.expires_ms - begins_ms >= (WAIT_MS_MAX if workflow else CANCELLATION_KEY_TTL_MS)


def test_without_a_key_there_is_nothing_to_wait_for():
    assert key_wait("acme", ID, START_MS, msgspec.structs.replace(REQUEST, cancellation_key=None)) is None


def cancelled(entrance: Entrance) -> set[bytes]:
    """Return what the deliver stage will not send, which has to be what the record stage shows."""
    shown = {
        subject_id
        for event in entrance.world.events(topics.OUTCOMES)
        if isinstance(event, CancelledFrame)
        for subject_id in event.subject_ids
    }
    assert set(Glance(entrance.world.journal).cancelled_since(0)[1]) == shown
    return shown


def signals(entrance: Entrance) -> list[SignalFrame]:
    events = [
        decode(f.payload) for p in range(2) for f in Glance(entrance.world.journal).read("accepted.critical", p, 0)
    ]
    return [event for event in events if isinstance(event, SignalFrame)]


def test_all_that_carry_the_key_are_cancelled_and_nothing_else(directory):
    async def story(entrance: Entrance) -> None:
        keyed = {**GOOD, "cancellation_key": "order 7"}
        batch = {"notifications": [keyed, {**keyed, "to": "u2"}, GOOD, {**GOOD, "cancellation_key": "order 8"}]}
        results = (await entrance.say(BATCH, batch))["results"]
        last = await entrance.say(ONE, {**keyed, "to": ["u1", "u3"]})
        told = await entrance.say(CANCEL, {"cancellation_key": "order 7"})
        assert told == {"cancellation_key": "order 7", "notifications": 3, "more": False}
        mine = {read(NOTIFICATION_PREFIX, one["id"]) for one in [*results[:2], last]}
        assert cancelled(entrance) == mine
        assert {id_ for signal in signals(entrance) for id_ in signal.data[0]["notification_ids"]} == mine
        assert {(*signal.tenants, *signal.keys) for signal in signals(entrance)} == {("acme", cancel_key("order 7"))}
        assert len(signals(entrance)) == len({ids.partition_of(id_) for id_ in mine})
        assert (await entrance.say(CANCEL, {"cancellation_key": "order 7"}))["notifications"] == 0
        assert (await entrance.say(CANCEL, {"cancellation_key": "order 8"}))["notifications"] == 1

    run(story(Entrance(directory)))


def test_a_key_is_its_tenants_alone(directory):
    async def story(entrance: Entrance) -> None:
        await entrance.post(ONE, {**GOOD, "cancellation_key": "k"})
        assert (await entrance.say(CANCEL, {"cancellation_key": "k"}, tenant="other"))["notifications"] == 0
        assert cancelled(entrance) == set()

    run(story(Entrance(directory)))


def test_one_call_cancels_a_bounded_number_and_says_that_there_are_more(directory, monkeypatch):
    monkeypatch.setattr(intake_steering, "CANCELLATIONS_PER_APPEND_MAX", 2)
    monkeypatch.setattr(intake_steering, "CANCELLATIONS_PER_CALL_MAX", 4)

    async def story(entrance: Entrance) -> None:
        await entrance.post(BATCH, {"notifications": [{**GOOD, "cancellation_key": "k"}] * 5})
        told = [await entrance.say(CANCEL, {"cancellation_key": "k"}) for _ in range(3)]
        assert [(one["notifications"], one["more"]) for one in told] == [(4, True), (1, False), (0, False)]
        assert cancelled(entrance) == set(entrance.stored())

    run(story(Entrance(directory)))


def test_a_key_is_one_line_of_text(directory):
    async def story(entrance: Entrance) -> None:
        with pytest.raises(InvalidField) as refusal:
            await entrance.post(ONE, {**GOOD, "cancellation_key": "a\nb"})
        assert refusal.value.field == "cancellation_key"
        assert list(entrance.stored()) == []

    run(story(Entrance(directory)))
