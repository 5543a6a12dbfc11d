"""Rates of requests: at most `burst` at once, and `per_s` a second after them.

This is the generic cell rate algorithm as virtual scheduling (ITU-T I.371, annex A), in whole nanoseconds. What has been
used is one number: the time at which the whole burst is available again. A time that is past is the same as none.
"""

from typing import Final

from clarion.domain.errors import QuotaStatus

NS_PER_S: Final = 1_000_000_000


class RequestRate:
    """A rate. `window_s` is how long a used-up burst takes to become whole, and `gap_ns` one request of it."""

    __slots__ = ("_burst_ns", "burst", "gap_ns", "per_s", "window_s")

    def __init__(self, per_s: int, burst: int) -> None:
        """`per_s` is 1 to `NS_PER_S`, `burst` at least 1."""
        self.per_s = per_s
        self.burst = burst
        self.gap_ns = NS_PER_S // per_s
        self._burst_ns = burst * self.gap_ns
        self.window_s = -(-burst // per_s)

    def charged(self, whole_ns: int, now_ns: int, cost: int = 1) -> int:
        """Return when the burst is whole again after a request at `now_ns` that counts as `cost` ones, and at most
        as the burst; 0 when it does not fit."""
        charged_ns = (whole_ns if whole_ns > now_ns else now_ns) + min(cost, self.burst) * self.gap_ns
        return charged_ns if charged_ns - now_ns <= self._burst_ns else 0

    def wait_ns(self, whole_ns: int, now_ns: int, cost: int = 1) -> int:
        """Return how long it takes until a request that counts as `cost` ones fits; 0 or less when it fits now."""
        return max(whole_ns, now_ns) + min(cost, self.burst) * self.gap_ns - now_ns - self._burst_ns

    def settled(self, whole_ns: int, now_ns: int) -> int:
        """Return when the burst is whole again, at the latest. A later time was charged to a larger burst; nobody should
        wait until that is whole at a lower rate."""
        return min(whole_ns, now_ns + self._burst_ns)

    def status(self, left_ns: int) -> QuotaStatus:
        """Return the state of the rate when its burst is whole again in this time."""
        return QuotaStatus(
            self.burst, (self._burst_ns - left_ns) // self.gap_ns, -(-left_ns // NS_PER_S), self.window_s
        )


def seconds(time_ns: int) -> int:
    """Return a time in whole seconds, rounded up."""
    return -(-time_ns // NS_PER_S)


def is_whole(whole_ns: int, now_ns: int) -> bool:
    """Return whether nothing of a burst is used at a time."""
    return whole_ns <= now_ns
