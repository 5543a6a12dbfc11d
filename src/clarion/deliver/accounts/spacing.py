"""When those come back who have to wait for an account that takes them at a known pace: one after the other, not all at
once."""

from typing import Final

from clarion.domain.limits_resilience import PARK_MS_MAX, PARK_MS_MIN, STANDINGS_MAX

_SPAN_MS: Final = PARK_MS_MAX - PARK_MS_MIN
_PACE_M_MIN: Final = 1_000


class Spacing:
    """The next free moment of each account, as one process hands them out. More than fit into `PARK_MS_MAX` share it."""

    def __init__(self) -> None:
        self._next_ms: dict[tuple[str, str], float] = {}

    def turns(self, name: tuple[str, str], now_ms: int, pace_m: int, count: int) -> list[int]:
        """Return when each of `count` deliveries may come again (Unix ms), at `pace_m` thousandths of one per second."""
        first_ms = now_ms + PARK_MS_MIN
        at_ms = max(self._next_ms.pop(name, first_ms), first_ms)
        step_ms = 1_000_000 / max(pace_m, _PACE_M_MIN)
        if len(self._next_ms) >= STANDINGS_MAX:
            self._next_ms.clear()
        self._next_ms[name] = at_ms + count * step_ms
        return [int(first_ms + (at_ms - first_ms + index * step_ms) % _SPAN_MS) for index in range(count)]
