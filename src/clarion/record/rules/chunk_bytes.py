"""State bytes of a chunk: one event applied to a whole slice at once, by tables made from the transitions."""

from collections import Counter
from typing import Final

from clarion.domain.delivery_state import Event, State, next_state
from clarion.domain.inbox import SHOWN

_STATES: Final = frozenset(State)
_EVENT_OF: Final = {
    State.SENDING: Event.INTENT,
    State.SENT: Event.ACCEPTED,
    State.DELIVERED: Event.CONFIRMED,
    State.RETRYING: Event.RETRY,
    State.AMBIGUOUS: Event.AMBIGUOUS,
    State.FAILED: Event.REFUSED,
    State.DEAD: Event.EXHAUSTED,
    State.EXPIRED: Event.EXPIRED,
    State.CANCELLED: Event.CANCELLED,
}
"""The event that a state byte in a frame reports."""


def _table(event: Event) -> bytes:
    return bytes(next_state(State(byte), event) if byte in _STATES else byte for byte in range(256))


_TABLES: Final = {event: _table(event) for event in Event}
_IS_SHOWN: Final = bytes(byte in SHOWN for byte in range(256))
_COUNT_UP: Final = bytes((*range(1, 256), 255))


def event_of(byte: int) -> Event | None:
    """Return the event that a reported state byte represents; None for 0 and for bytes that are no outcome."""
    return _EVENT_OF.get(State(byte)) if byte in _STATES else None


def after(states: bytes, event: Event) -> bytes:
    """Return the state bytes after one event happened to each."""
    return states.translate(_TABLES[event])


def after_each(states: bytes, reported: bytes) -> bytes:
    """Return the state bytes after the events that the reported bytes represent; 0 leaves a state unchanged."""
    kinds = set(reported)
    if len(kinds) == 1:
        event = event_of(kinds.pop())
        return states if event is None else after(states, event)
    tables = {byte: _TABLES[event] for byte in kinds if (event := event_of(byte)) is not None}
    return bytes(
        tables[recorded][state] if recorded in tables else state
        for state, recorded in zip(states, reported, strict=True)
    )


def newly_shown(before: bytes, first: int, states: bytes) -> bytes:
    """Return a byte for each delivery of a chunk, 1 where the states that replace those from `first` on bring it into
    the inbox."""
    was = before[first : first + len(states)].translate(_IS_SHOWN)
    comes = bytes(new > old for old, new in zip(was, states.translate(_IS_SHOWN), strict=True))
    return bytes(first) + comes + bytes(len(before) - first - len(states))


def begun_again(intents: bytes) -> bytes:
    """Return the counts of begun first attempts, each one higher (255 at most)."""
    return intents.translate(_COUNT_UP)


def tally(states: bytes, reasons: bytes) -> Counter[tuple[int, int]]:
    """Return how many deliveries have each (state, reason)."""
    if not any(reasons):
        return Counter({(state, 0): states.count(state) for state in set(states)})
    return Counter(zip(states, reasons, strict=True))
