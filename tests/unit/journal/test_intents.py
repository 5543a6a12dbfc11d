"""Stored attempts hold in few bytes what the frames on `outcomes` say of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.delivery_state import Event
from clarion.domain.errors import UnknownFrame
from clarion.domain.outcome import Ambiguous
from clarion.journal.codec import encode
from clarion.journal.events import AttemptedFrame, CancelledFrame, ChunkAttemptedFrame, IntentFrame
from clarion.journal.intents import decode_intents, encode_intents

CHUNK = b"c" * 24
ids = st.lists(st.integers(0, 99).map(lambda n: b"%024d" % n), min_size=1, max_size=5)


def intent(delivery_ids: list[bytes], attempt: int, providers: list[str]) -> IntentFrame:
    return IntentFrame("w", 1, 0, "sms", None, 0, delivery_ids, [attempt] * len(delivery_ids), providers)


def attempted(delivery_ids: list[bytes], events: list[Event], retry_ms: int | None = None) -> AttemptedFrame:
    n = len(delivery_ids)
    columns = ["t"] * n, ["u"] * n, ["+1"] * n, [1] * n, [""] * n, [""] * n
    rest = [0] * n, [Ambiguous("lost")] * n, [0] * n, [0] * n, [retry_ms] * n, [None] * n, [None] * n
    return AttemptedFrame("sms", delivery_ids, *columns, events, *rest)


@given(st.lists(st.tuples(ids, st.integers(1, 300), st.booleans()), min_size=1, max_size=4))
def test_providers_stay_with_their_deliveries(events):
    frames = [
        intent(some, attempt, [f"p{n}" for n in range(len(some))] if named else []) for some, attempt, named in events
    ]
    kept = decode_intents(encode_intents(frames))
    assert list(zip(kept.intended, kept.attempts, strict=True)) == [(one, at) for some, at, _ in events for one in some]
    if any(named for _, _, named in events):
        wanted = [f"p{n}" if named else "" for some, _, named in events for n in range(len(some))]
        assert kept.providers == wanted
    else:
        assert kept.providers == []


def test_a_loss_with_a_later_attempt_is_distinguished_from_other_results():
    a, b, c = b"a" * 24, b"b" * 24, b"c" * 24
    followed = attempted([a, b], [Event.ACCEPTED, Event.AMBIGUOUS])
    waits = attempted([c], [Event.AMBIGUOUS], retry_ms=9)
    kept = decode_intents(encode_intents([followed, waits, followed]))
    assert kept.settled == [a, b, c, a, b]
    assert [kept.settled[at] for at in kept.lost] == [b, b]


def test_a_chunk_is_stored_as_runs():
    members = [b"%024d" % n for n in range(1_000)]
    frame = IntentFrame("w", 1, 0, "push", CHUNK, 5, members, [1] * 1_000)
    sent = ChunkAttemptedFrame(CHUNK, "t", "push", "p", "v", 7, b"\x0a\0\x0a", 0)
    payload = encode_intents([frame, sent])
    kept = decode_intents(payload)
    assert (kept.runs, kept.sent) == ([(CHUNK, 5, 1_000, [])], [(CHUNK, 7, b"\x0a\0\x0a")])
    assert len(payload) < 100 < len(encode(frame, 1_000)) / 100


def test_frames_without_attempts_are_not_stored():
    assert encode_intents([]) == b""
    assert encode_intents([CancelledFrame(["t"], [b"s"], [0])]) == b""


@pytest.mark.parametrize("payload", [b"", b"\x91\xa3odd", b"\x80"])
def test_an_unreadable_payload_is_of_another_build(payload):
    with pytest.raises(UnknownFrame, match="another build"):
        decode_intents(payload)
