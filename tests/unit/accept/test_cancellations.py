"""Cancellation by key: the key is found for as long as something can be cancelled, and one call cancels all of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.accept import intake_lifecycle
from clarion.accept.cancellations import key_wait
from clarion.domain import ids
from clarion.domain.errors import InvalidField
from clarion.domain.ids import NOTIFICATION_PREFIX, read
from clarion.domain.limits import CANCELLATION_KEY_TTL_MS, WAIT_MS_MAX
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import CancelledFrame, Recipient, Request, SignalFrame
from clarion.journal.signals import cancel_key
from tests.look import Glance
from tests.stages.virtual import START_MS, run
from tests.unit.accept.harness import BATCH, GOOD, ONE, IntakeHarness

CANCEL = "/v1/notifications/cancel"
REQUEST = Request([Recipient("ana")], "hello", None, None, "normal", {}, cancellation_key="order 7")
ID = ids.notification_id(START_MS, 1, b"\x01" * ids.ENTROPY_BYTES)


@given(
    send_at_ms=st.none() | st.integers(START_MS, START_MS + WAIT_MS_MAX),
    expires_ms=st.none() | st.integers(START_MS, START_MS + 2 * WAIT_MS_MAX),
    workflow=st.sampled_from(["", "onboarding"]),
)
def test_a_key_is_stored_until_nothing_can_be_sent(send_at_ms, expires_ms, workflow):
    request = msgspec.structs.replace(REQUEST, send_at_ms=send_at_ms, expires_ms=expires_ms, workflow=workflow)
    wait = key_wait("acme", ID, 1, START_MS, request)
    begins_ms = send_at_ms or START_MS
    assert (wait.tenant, wait.key, wait.subject) == ("acme", cancel_key("order 7"), ID)
    assert (wait.topic, wait.partition) == ("accepted.critical", 1)
    assert expires_ms is None or wait.expires_ms <= expires_ms
    if wait.expires_ms != expires_ms:
        assert wait.expires_ms - begins_ms >= (WAIT_MS_MAX if workflow else CANCELLATION_KEY_TTL_MS)


def test_without_a_key_nothing_is_stored():
    assert key_wait("acme", ID, 1, START_MS, msgspec.structs.replace(REQUEST, cancellation_key=None)) is None


def cancelled(harness: IntakeHarness) -> set[bytes]:
    """Return the ids that the deliver stage will not send, which have to be those that the record stage shows."""
    shown = {
        subject_id
        for event in harness.world.events(topics.OUTCOMES)
        if isinstance(event, CancelledFrame)
        for subject_id in event.subject_ids
    }
    assert set(Glance(harness.world.journal).cancelled_since(0)[1]) == shown
    return shown


def signals(harness: IntakeHarness) -> list[SignalFrame]:
    events = [
        decode(f.payload) for p in range(2) for f in Glance(harness.world.journal).read("accepted.critical", p, 0)
    ]
    return [event for event in events if isinstance(event, SignalFrame)]


def test_exactly_the_notifications_with_the_key_are_cancelled(directory):
    async def scenario(harness: IntakeHarness) -> None:
        keyed = {**GOOD, "cancellation_key": "order 7"}
        batch = {"notifications": [keyed, {**keyed, "to": "u2"}, GOOD, {**GOOD, "cancellation_key": "order 8"}]}
        results = (await harness.post_json(BATCH, batch))["results"]
        last = await harness.post_json(ONE, {**keyed, "to": ["u1", "u3"]})
        result = await harness.post_json(CANCEL, {"cancellation_key": "order 7"})
        assert result == {"cancellation_key": "order 7", "notifications": 3, "more": False}
        own = {read(NOTIFICATION_PREFIX, one["id"]) for one in [*results[:2], last]}
        assert cancelled(harness) == own
        assert {id_ for signal in signals(harness) for id_ in signal.data[0]["notification_ids"]} == own
        assert {(*signal.tenants, *signal.keys) for signal in signals(harness)} == {("acme", cancel_key("order 7"))}
        assert len(signals(harness)) == len({ids.partition_of(id_, 2) for id_ in own})
        assert (await harness.post_json(CANCEL, {"cancellation_key": "order 7"}))["notifications"] == 0
        assert (await harness.post_json(CANCEL, {"cancellation_key": "order 8"}))["notifications"] == 1

    run(scenario(IntakeHarness(directory)))


def test_a_key_belongs_to_one_tenant(directory):
    async def scenario(harness: IntakeHarness) -> None:
        await harness.post(ONE, {**GOOD, "cancellation_key": "k"})
        assert (await harness.post_json(CANCEL, {"cancellation_key": "k"}, tenant="other"))["notifications"] == 0
        assert cancelled(harness) == set()

    run(scenario(IntakeHarness(directory)))


def test_one_call_cancels_a_bounded_number_and_reports_more(directory, monkeypatch):
    monkeypatch.setattr(intake_lifecycle, "CANCELLATIONS_PER_APPEND_MAX", 2)
    monkeypatch.setattr(intake_lifecycle, "CANCELLATIONS_PER_CALL_MAX", 4)

    async def scenario(harness: IntakeHarness) -> None:
        await harness.post(BATCH, {"notifications": [{**GOOD, "cancellation_key": "k"}] * 5})
        result = [await harness.post_json(CANCEL, {"cancellation_key": "k"}) for _ in range(3)]
        assert [(one["notifications"], one["more"]) for one in result] == [(4, True), (1, False), (0, False)]
        assert cancelled(harness) == set(harness.stored())

    run(scenario(IntakeHarness(directory)))


def test_a_key_is_one_line_of_text(directory):
    async def scenario(harness: IntakeHarness) -> None:
        with pytest.raises(InvalidField) as refusal:
            await harness.post(ONE, {**GOOD, "cancellation_key": "a\nb"})
        assert refusal.value.field == "cancellation_key"
        assert list(harness.stored()) == []

    run(scenario(IntakeHarness(directory)))
