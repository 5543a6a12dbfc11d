"""The frame codec: encoded frames decode to the same events; damaged, truncated or newer frames are refused."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal.codec import VERSION, count_of, decode, encode
from tests.strategies import KINDS, any_event, events_of

VERSION_AT = 2
KIND_AT = 3
CHECKSUM_AT = 8
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


def rewritten(event, *, version=VERSION, kind=None):
    """Return a frame as another build writes it: undamaged, of another version or kind."""
    frame = bytearray(encode(event, 1))
    frame[VERSION_AT] = version
    frame[KIND_AT] = frame[KIND_AT] if kind is None else kind
    frame[CHECKSUM_AT:HEADER_BYTES] = crc32(frame[HEADER_BYTES:], crc32(frame[:CHECKSUM_AT])).to_bytes(4, "big")
    return bytes(frame)


@given(any_event, st.integers(0, 255).filter(lambda version: version != VERSION))
def test_a_whole_frame_of_another_version_is_unknown_not_damaged(event, version):
    frame = rewritten(event, version=version)
    with pytest.raises(UnknownFrame, match=f"of version {version}, .* reads version {VERSION}"):
        decode(frame)


@given(any_event, st.integers(len(KINDS) + 1, 255))
def test_a_whole_frame_of_another_kind_is_unknown_not_damaged(event, kind):
    frame = rewritten(event, kind=kind)
    with pytest.raises(UnknownFrame, match=f"kind {kind}; this build reads .* kinds 1 to {len(KINDS)}"):
        decode(frame)


@given(any_event, st.integers(VERSION + 1, 255), st.data())
def test_a_damaged_frame_of_another_version_is_damaged(event, version, data):
    frame = bytearray(rewritten(event, version=version))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptFrame):
        decode(bytes(frame))


def test_an_unknown_frame_is_distinguished_from_a_damaged_one():
    assert not issubclass(UnknownFrame, CorruptFrame)


@given(any_event, st.data())
def test_a_cut_frame_is_refused(event, data):
    frame = encode(event, 1)
    with pytest.raises(CorruptFrame):
        decode(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(st.binary(max_size=64))
def test_bytes_that_are_no_frame_are_refused(noise):
    with pytest.raises(CorruptFrame):
        decode(noise)
