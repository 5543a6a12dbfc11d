"""When deliveries that wait for an account with a known pace try again: one after the other, not all at once."""

from typing import Final

from clarion.domain.limits_delivery import ACCOUNT_HEALTH_MAX, PARK_MS_MAX, PARK_MS_MIN

_SPAN_MS: Final = PARK_MS_MAX - PARK_MS_MIN
_PACE_M_MIN: Final = 1_000


class Spacing:
    """The next free time of each account in one process. More deliveries than fit into `PARK_MS_MAX` share its
    times."""

    def __init__(self) -> None:
        self._next_ms: dict[tuple[str, str], float] = {}

    def turns(self, name: tuple[str, str], now_ms: int, pace_m: int, count: int) -> list[int]:
        """Return when each of `count` deliveries may try again (Unix ms), at `pace_m` thousandths of one per second."""
        first_ms = now_ms + PARK_MS_MIN
        at_ms = max(self._next_ms.pop(name, first_ms), first_ms)
        step_ms = 1_000_000 / max(pace_m, _PACE_M_MIN)
        if len(self._next_ms) >= ACCOUNT_HEALTH_MAX:
            self._next_ms.clear()
        self._next_ms[name] = at_ms + count * step_ms
        return [int(first_ms + (at_ms - first_ms + index * step_ms) % _SPAN_MS) for index in range(count)]
