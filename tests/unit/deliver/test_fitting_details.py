"""The fitting of messages is reported with their results: with each of a single notification, with one of a chunk."""

import pytest

from clarion.deliver.partition.results import Result, outcome_records
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.retry import Next
from clarion.deliver.rules.sanitize import sanitized
from clarion.domain.channel import Channel
from clarion.domain.delivery_state import Event
from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.outcome import Accepted
from clarion.domain.planned import PlannedDelivery
from clarion.journal.codec import decode
from clarion.journal.events import AttemptedFrame, ChunkAttemptedFrame

CUT = "the body was shortened"


def result(index: int, chunk_id: bytes | None, detail: str = CUT) -> Result:
    place = None if chunk_id is None else (chunk_id, index)
    row = PlannedDelivery(
        index.to_bytes(24, "big"), "acme", "", f"a{index}", "news", "", "en", {}, None, 1, None, None, None, place
    )
    return Result(row, Answer(Accepted("id", None, detail), "main", "fcm"), Next(Event.ACCEPTED), 1, 2)


def details_and_bytes(results: list[Result]) -> tuple[list[str], int]:
    """Return the details of rows, and how many deliveries are reported as bytes."""
    events = [decode(frame.payload) for _, frame in outcome_records(Channel.PUSH, 0, results)]
    rows = [event for event in events if isinstance(event, AttemptedFrame)]
    chunks = [event for event in events if isinstance(event, ChunkAttemptedFrame)]
    details = [outcome.detail for event in rows for outcome in event.outcomes]
    return details, sum(state != 0 for event in chunks for state in event.states)


def test_each_single_has_its_detail():
    assert details_and_bytes([result(n, None) for n in range(5)]) == ([CUT] * 5, 0)


def test_one_delivery_of_a_chunk_has_the_detail():
    results = [result(n, bytes([n % 2]) * 24) for n in range(100)]
    assert details_and_bytes(results) == ([CUT] * 2, 98)


def test_a_chunk_that_fits_is_bytes_alone():
    assert details_and_bytes([result(n, bytes(24), "") for n in range(100)]) == ([], 100)


@pytest.mark.parametrize(
    ("detail", "shown"),
    [("", ""), (CUT, CUT), ("key s3cret-key\n", "key ***\ufffd"), ("x" * 600, "x" * ATTEMPT_DETAIL_CHARS_MAX)],
)
def test_the_detail_of_an_accepted_message_is_checked_like_others(detail, shown):
    assert sanitized(Accepted("id", None, detail), ["s3cret-key"]) == Accepted("id", None, shown)
