"""Caps as GCRA: one number per person and cap, the theoretical arrival time of the next unit.

ITU-T I.371, generic cell rate algorithm, in its virtual scheduling form. Times are whole seconds since 1970, as stored:
with a gap of at least one second this loses no precision.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, Protocol

from clarion.domain.cap import Cap
from clarion.domain.duration import duration_ms
from clarion.plan.rules.request_facts import CapRule

RULE_BYTES: Final = 8


class Room(Protocol):
    """The room of users under caps."""

    def free_at(self, ordinal: int, cap: CapRule) -> int:
        """Return the time (seconds since 1970) from which a user has room under a cap."""
        ...

    def claim(self, ordinal: int, caps: Sequence[CapRule]) -> tuple[CapRule, int] | None:
        """Count one more under all caps and return None, or count nothing and return the cap without room that is full
        for longest, and the time from which it has room (seconds since 1970)."""
        ...


def cap_rules(category: str, caps: Iterable[Cap]) -> tuple[CapRule, ...]:
    """Return the cap rules of a category (or of `*`, all categories together)."""
    return tuple(_rule(category, cap) for cap in caps)


def _rule(category: str, cap: Cap) -> CapRule:
    per_s = max(duration_ms(cap.per) // 1000, 1)
    gap_s = max(-(-per_s // cap.limit), 1)
    where = cap.channel.value if cap.channel else "*"
    text = f"{len(category)}:{category}{where}:{cap.limit}:{per_s}"
    what = "" if category == "*" else f" of {category}"
    on = f" by {where}" if cap.channel else ""
    rule = blake2b(text.encode(), digest_size=RULE_BYTES).digest()
    return CapRule(rule, f"{cap.limit} per {cap.per}{what}{on}", cap.channel, cap.limit, gap_s)


def free_at(arrival_s: int, limit: int, gap_s: int) -> int:
    """Return the time (seconds since 1970) from which there is room for one more."""
    return arrival_s - (limit - 1) * gap_s


def arrival_after(arrival_s: int, now_s: int, gap_s: int) -> int:
    """Return the arrival time after one more was counted at `now_s`."""
    return max(arrival_s, now_s) + gap_s
