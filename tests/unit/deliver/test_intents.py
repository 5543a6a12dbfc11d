"""Intents and results on the journal name exactly the deliveries they are about."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.deliver.partition.results import Result, intents_of, outcome_records, timers_of
from clarion.deliver.partition.rows import rows_of
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.retry import Next
from clarion.domain.channel import Channel, Lane
from clarion.domain.delivery_state import Event, State
from clarion.domain.outcome import Accepted, Transient
from clarion.journal.codec import decode
from clarion.journal.events import AttemptedFrame, ChunkAttemptedFrame, ChunkFrame, IntentFrame

CHUNK_ID = bytes(range(24))


def chunk(states: list[State]) -> ChunkFrame:
    places = range(len(states))
    return ChunkFrame(
        CHUNK_ID, "acme", "sms", "en", "hello", "", {}, 0, None, None, list(places), [f"u{n}" for n in places],
        bytes(states), bytes(len(states)), [f"a{n}" for n in places], [],
    )  # fmt: skip


members = st.lists(st.sampled_from([State.PLANNED, State.SKIPPED]), min_size=1, max_size=30)


@given(members, st.data())
def test_an_intent_frame_of_a_chunk_is_an_unbroken_slice(states, data):
    rows = rows_of(chunk(states))
    assert [row.chunk[1] for row in rows] == [n for n, state in enumerate(states) if state is State.PLANNED]
    again = data.draw(st.sets(st.sampled_from(range(len(rows))))) if rows else set()
    rows = [row._replace(attempt=2) if n in again else row for n, row in enumerate(rows)]
    begun: dict[int, bytes] = {}
    single: list[bytes] = []
    for _, frame in intents_of(Channel.SMS, 0, "w", 1, 0, rows):
        event = decode(frame.payload)
        assert isinstance(event, IntentFrame)
        assert frame.count == len(event.delivery_ids) == len(event.attempts)
        if event.chunk_id is None:
            assert set(event.attempts) == {2}, "a later attempt has a row of its own"
            single += event.delivery_ids
        else:
            begun.update({event.first_index + n: id_ for n, id_ in enumerate(event.delivery_ids)})
    assert begun == {row.chunk[1]: row.delivery_id for row in rows if row.attempt == 1}
    assert single == [row.delivery_id for row in rows if row.attempt == 2]


@given(members, st.data())
def test_results_of_a_chunk_are_reported_once_each(states, data):
    rows = rows_of(chunk(states))
    results, failed = [], set()
    for row in rows:
        fine = data.draw(st.booleans())
        following = Next(Event.ACCEPTED) if fine else Next(Event.RETRY, retry_ms=5)
        answer = Answer(Accepted("id") if fine else Transient("no"), "main", "sandbox")
        results.append(Result(row, answer, following, 1, 2))
        if not fine:
            failed.add(row.chunk[1])
    sent: set[int] = set()
    records: set[int] = set()
    for _, frame in outcome_records(Channel.SMS, 0, results):
        event = decode(frame.payload)
        if isinstance(event, ChunkAttemptedFrame):
            sent |= {event.first_index + n for n, state in enumerate(event.states) if state}
        else:
            assert isinstance(event, AttemptedFrame)
            records |= {place[1] for place in event.chunks}
    assert records == failed
    assert sent == {row.chunk[1] for row in rows} - failed
    timers = timers_of(Channel.SMS, {row.delivery_id: Lane.BULK for row in rows}, 0, results)
    assert len({timer.timer_id for timer in timers}) == len(timers) == len(failed)
    assert {timer.topic for timer in timers} <= {"deliver.sms.bulk"}
    (again,) = {row.attempt for timer in timers for row in rows_of(decode(timer.payload))} or {2}
    assert again == 2
