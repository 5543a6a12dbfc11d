"""The states of a delivery and the only transitions between them.

`TRANSITIONS` is complete: any other event leaves the state unchanged, so late and repeated events are harmless.
docs/states.md is generated from it.
"""

from enum import IntEnum, StrEnum
from typing import Final


class State(IntEnum):
    """State of a delivery; stores hold the number (one byte a delivery in a chunk)."""

    PLANNED = 1
    SENDING = 2
    RETRYING = 3
    AMBIGUOUS = 4
    HELD = 5
    SENT = 10
    DELIVERED = 11
    FAILED = 12
    DEAD = 13
    EXPIRED = 14
    SKIPPED = 15
    CANCELLED = 16
    MERGED = 17


class Event(StrEnum):
    """An event that can change the state of a delivery."""

    INTENT = "intent"
    ACCEPTED = "accepted"
    RETRY = "retry"
    AMBIGUOUS = "ambiguous"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CONFIRMED = "confirmed"
    BOUNCED = "bounced"
    REPLAYED = "replayed"
    HELD = "held"
    RELEASED = "released"
    SKIPPED = "skipped"
    MERGED = "merged"
    FOLLOWED = "followed"
    PARKED = "parked"


TERMINAL: Final = frozenset(state for state in State if state >= State.SENT)
"""Terminal states; every delivery ends in exactly one of them."""

NAMES: Final = {state: state.name.lower() for state in State}

_OPEN: Final = (State.PLANNED, State.SENDING, State.RETRYING, State.AMBIGUOUS)

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    **{(state, Event.INTENT): State.SENDING for state in _OPEN},
    **{(state, Event.ACCEPTED): State.SENT for state in _OPEN},
    **{(state, Event.RETRY): State.RETRYING for state in _OPEN},
    **{(state, Event.AMBIGUOUS): State.AMBIGUOUS for state in _OPEN},
    **{(state, Event.REFUSED): State.FAILED for state in _OPEN},
    **{(state, Event.EXHAUSTED): State.DEAD for state in _OPEN},
    **{(state, Event.EXPIRED): State.EXPIRED for state in _OPEN},
    **{(state, Event.CANCELLED): State.CANCELLED for state in _OPEN},
    **{(state, Event.CONFIRMED): State.DELIVERED for state in _OPEN},
    **{(state, Event.BOUNCED): State.FAILED for state in _OPEN},
    **{(state, Event.PARKED): State.RETRYING for state in _OPEN},
    (State.HELD, Event.HELD): State.HELD,
    (State.HELD, Event.RELEASED): State.PLANNED,
    (State.HELD, Event.SKIPPED): State.SKIPPED,
    (State.HELD, Event.MERGED): State.MERGED,
    (State.HELD, Event.CANCELLED): State.CANCELLED,
    (State.HELD, Event.EXPIRED): State.EXPIRED,
    (State.SENT, Event.CONFIRMED): State.DELIVERED,
    (State.SENT, Event.BOUNCED): State.FAILED,
    (State.DEAD, Event.REPLAYED): State.PLANNED,
    (State.FAILED, Event.REPLAYED): State.PLANNED,
}


def next_state(state: State, event: Event) -> State:
    """Return the state after an event; an event that does not apply leaves the state unchanged."""
    return TRANSITIONS.get((state, event), state)


def diagram() -> str:
    """Return the transitions as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> planned", "    [*] --> skipped: a rule decided against it"]
    lines += ["    [*] --> held: quiet hours or a cap", "    [*] --> merged: over a cap that digests"]
    lines += [f"    {NAMES[a]} --> {NAMES[b]}: {event}" for (a, event), b in TRANSITIONS.items() if a != b]
    lines += [f"    {NAMES[state]} --> [*]" for state in sorted(TERMINAL)]
    return "\n".join(lines) + "\n"
