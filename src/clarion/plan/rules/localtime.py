"""Sending at the recipient's local time: the same wall-clock time for all recipients, so one wave per zone."""

from datetime import UTC, datetime

from clarion.domain.decision import Hold, Reason, Skip
from clarion.domain.limits import LOCAL_LATE_MS_MAX
from clarion.domain.localtime import first_ms, zone_of
from clarion.plan.rules.profile_rules import Gate


def local_due_ms(local_ms: int, zone: str) -> int:
    """Return the instant (Unix ms) of a wall-clock time in a zone, given as milliseconds since 1970."""
    return first_ms(_wall(local_ms), zone_of(zone))


def too_late(due_ms: int, now_ms: int) -> bool:
    """Return whether an instant passed more than `LOCAL_LATE_MS_MAX` ago, so that nothing is sent any more."""
    return now_ms - due_ms > LOCAL_LATE_MS_MAX


def _wall(local_ms: int) -> datetime:
    return datetime.fromtimestamp(local_ms / 1000, UTC).replace(tzinfo=None)


def at_local_time(gate: Gate, local_ms: int, zone: str, now_ms: int) -> Gate:
    """Return the gate of recipients in a zone for a delivery at `local_ms` (the wall-clock time as milliseconds since
    1970): a hold until then, or a skip when it passed more than `LOCAL_LATE_MS_MAX` ago."""
    wall, due_ms = _wall(local_ms), local_due_ms(local_ms, zone)
    if too_late(due_ms, now_ms):
        verdict: Skip | Hold = Skip(Reason.TOO_LATE, f"{wall:%Y-%m-%d %H:%M} has passed in {zone}")
    elif due_ms > now_ms:
        verdict = Hold(due_ms, Reason.LOCAL_TIME, f"{wall:%Y-%m-%d %H:%M} in {zone}")
    else:
        return gate
    verdicts = {channel: old if isinstance(old, Skip) else verdict for channel, old in gate.verdicts.items()}
    return Gate(verdicts, gate.valid_until_ms)
