"""The frame codec: what was encoded comes back, and what was damaged, cut or made by a newer build does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import CorruptFrame
from clarion.journal.codec import VERSION, count_of, decode, encode
from tests.strategies import KINDS, any_event, events_of

VERSION_AT = 2
HEADER_BYTES = 12


@pytest.mark.hypothesis
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_comes_back_as_it_was(kind):
    @given(events_of(kind), st.integers(0, 1 << 32 - 1))
    def comes_back(event, count):
        frame = encode(event, count)
        assert decode(frame) == event
        assert count_of(frame) == count

    comes_back()


@given(any_event, st.data())
def test_any_changed_byte_of_a_body_is_noticed(event, data):
    frame = bytearray(encode(event, 1))
    at = data.draw(st.integers(HEADER_BYTES, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptFrame):
        decode(bytes(frame))


@given(any_event, st.integers(0, HEADER_BYTES - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_header_is_noticed(event, at, flip):
    frame = bytearray(encode(event, 1))
    frame[at] ^= flip
    with pytest.raises(CorruptFrame):
        decode(bytes(frame))


@given(any_event, st.integers(VERSION + 1, 255))
def test_a_newer_version_is_refused_by_its_number(event, version):
    frame = bytearray(encode(event, 1))
    frame[VERSION_AT] = version
    with pytest.raises(CorruptFrame):
        decode(bytes(frame))


@given(any_event, st.data())
def test_a_cut_frame_is_refused(event, data):
    frame = encode(event, 1)
    with pytest.raises(CorruptFrame):
        decode(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(st.binary(max_size=64))
def test_bytes_that_are_no_frame_are_refused(noise):
    with pytest.raises(CorruptFrame):
        decode(noise)
