"""Dead letters with files do not make frames that are too large."""

from clarion.deliver.partition.results import Result, outcome_records
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.retry import Next
from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
from clarion.domain.limits_processes import FRAME_BYTES_MAX
from clarion.domain.outcome import Refused
from clarion.journal.codec import decode
from clarion.journal.rows import deliver_rows
from tests.unit.deliver.test_slow_builds import ROW

FILE = Attachment("a.bin", "", bytes(700 * 1024))


def test_large_letters_are_cut_into_frames_and_none_is_lost():
    rows = [ROW._replace(delivery_id=bytes([number]) * 24, attachments=[FILE]) for number in range(11)]
    answer, dead = Answer(Refused("no"), "mail", "smtp"), Next(Event.EXHAUSTED, Reason.ATTEMPTS_EXHAUSTED)
    frames = [
        frame for _, frame in outcome_records(Channel.EMAIL, 0, [Result(row, answer, dead, 1, 2) for row in rows])
    ]
    assert 1 < len(frames) < len(rows)
    assert all(len(frame.payload) <= FRAME_BYTES_MAX for frame in frames)
    found = [decode(frame.payload) for frame in frames]
    assert [id_ for event in found for id_ in event.delivery_ids] == [row.delivery_id for row in rows]
    (letter,) = deliver_rows(decode(found[0].dead[0]))
    assert letter.attachments == [FILE]
