"""Digests: when one closes, and when it is full. Its members' places are stored separately, in order of arrival."""

from zoneinfo import ZoneInfo

import msgspec

from clarion.domain.duration import duration_ms
from clarion.domain.limits import DIGEST_BYTES_MAX, DIGEST_ITEMS_MAX, WAIT_MS_MAX
from clarion.domain.workflow import Window
from clarion.plan.rules.workflow.moments import next_at


class Digest(msgspec.Struct, frozen=True, array_like=True):
    """An open digest. `opener` is the instance that opened it, which distinguishes it from earlier ones of the same
    key. `places` counts all members that joined, also those that have ended since; `size_bytes` is the size of their
    data."""

    opener: bytes
    opened_ms: int
    closes_ms: int
    places: int = 0
    size_bytes: int = 0


def open_digest(opener: bytes, window: Window, now_ms: int, zone: ZoneInfo) -> Digest:
    """Return the digest that a first event opens; the event joins it separately."""
    return Digest(opener, now_ms, _closes_ms(window, now_ms, now_ms, zone))


def join_digest(digest: Digest, window: Window, now_ms: int, size_bytes: int) -> Digest:
    """Return the digest with one more member, whose data has the given size."""
    closes_ms = digest.closes_ms
    if window.sliding is not None:
        closes_ms = max(closes_ms, _slides_to_ms(window, digest.opened_ms, now_ms))
    return msgspec.structs.replace(
        digest,
        closes_ms=closes_ms,
        places=digest.places + 1,
        size_bytes=digest.size_bytes + size_bytes,
    )


def is_full(digest: Digest) -> bool:
    """Return whether a digest takes no more members and closes early."""
    return digest.places >= DIGEST_ITEMS_MAX or digest.size_bytes >= DIGEST_BYTES_MAX


def _closes_ms(window: Window, opened_ms: int, now_ms: int, zone: ZoneInfo) -> int:
    if window.at is not None:
        return next_at(window.at, window.days, zone, now_ms)
    if window.sliding is not None:
        return _slides_to_ms(window, opened_ms, now_ms)
    return opened_ms + duration_ms(window.fixed or "0s")


def _slides_to_ms(window: Window, opened_ms: int, now_ms: int) -> int:
    at_most_ms = WAIT_MS_MAX if window.at_most is None else duration_ms(window.at_most)
    return min(now_ms + duration_ms(window.sliding or "0s"), opened_ms + at_most_ms)
