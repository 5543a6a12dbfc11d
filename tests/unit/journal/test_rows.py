"""Planned deliveries become columns and read back unchanged, also from frames older than the newest columns."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.attachment import Attachment
from clarion.domain.planned import PlannedDelivery
from clarion.domain.trail import Trail
from clarion.journal.codec import decode, encode
from clarion.journal.events import DeliverFrame
from clarion.journal.rows import cut_frames, deliver_frame, deliver_rows

planned = st.builds(
    PlannedDelivery,
    delivery_id=st.binary(min_size=24, max_size=24),
    user=st.none() | st.just({"name": "Ada"}),
    data=st.just({"order": {"number": 7}}),
    metadata=st.none() | st.just({"a": "b"}),
    attempt=st.integers(1, 9),
    expires_ms=st.none() | st.integers(0, 2**40),
    chunk=st.none() | st.just((bytes(24), 3)),
    fallback=st.none() | st.just(b"frame"),
    trail=st.none() | st.just(Trail(pinned="main")),
    attachments=st.none() | st.just([Attachment("a.txt", "text/plain", b"x")]),
)


@given(st.lists(planned, min_size=1, max_size=5))
def test_planned_rows_round_trip(rows):
    frames = cut_frames("deliver.push.normal", 0, rows, 2)
    assert [frame.count for frame in frames] == [len(rows[start : start + 2]) for start in range(0, len(rows), 2)]
    assert [row for frame in frames for row in deliver_rows(decode(frame.payload))] == rows


def test_the_fields_are_the_columns():
    assert len(PlannedDelivery._fields) == len(DeliverFrame.__struct_fields__)


def test_a_frame_older_than_the_last_columns_is_read():
    row = PlannedDelivery(bytes(24), "acme", "ada", "a", "en", "hi", "", {}, None, 1, None, None, None, None)
    columns = msgspec.msgpack.decode(msgspec.msgpack.encode(deliver_frame([row])))
    older = msgspec.msgpack.decode(msgspec.msgpack.encode(columns[:-4]), type=DeliverFrame)
    assert list(deliver_rows(older)) == [row]
    assert encode(older, 1)
