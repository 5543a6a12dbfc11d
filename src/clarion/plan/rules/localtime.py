"""Sending at the recipient's own time: the same wall-clock time for everyone, so a wave per zone."""

from datetime import UTC, datetime

from clarion.domain.decision import Hold, Reason, Skip
from clarion.domain.limits_deciding import LOCAL_LATE_MS_MAX
from clarion.domain.localtime import first_ms, zone_of
from clarion.plan.rules.group import Gate


def local_due_ms(local_ms: int, zone: str) -> int:
    """Return when (Unix ms) clocks in a zone show a wall-clock time, given as milliseconds since 1970."""
    return first_ms(_wall(local_ms), zone_of(zone))


def too_late(due_ms: int, now_ms: int) -> bool:
    """Return whether that time has passed for so long that nothing is to be sent any more."""
    return now_ms - due_ms > LOCAL_LATE_MS_MAX


def _wall(local_ms: int) -> datetime:
    return datetime.fromtimestamp(local_ms / 1000, UTC).replace(tzinfo=None)


def at_local_time(gate: Gate, local_ms: int, zone: str, now_ms: int) -> Gate:
    """Return the verdicts of a gate for people who get it when clocks in their zone show `local_ms` (the wall-clock time
    as milliseconds since 1970). Whose time has passed by more than `LOCAL_LATE_MS_MAX` does not get it any more."""
    wall, due_ms = _wall(local_ms), local_due_ms(local_ms, zone)
    if too_late(due_ms, now_ms):
        verdict: Skip | Hold = Skip(Reason.TOO_LATE, f"{wall:%Y-%m-%d %H:%M} has passed in {zone}")
    elif due_ms > now_ms:
        verdict = Hold(due_ms, Reason.LOCAL_TIME, f"{wall:%Y-%m-%d %H:%M} in {zone}")
    else:
        return gate
    verdicts = {channel: old if isinstance(old, Skip) else verdict for channel, old in gate.verdicts.items()}
    return Gate(verdicts, gate.valid_until_ms)
