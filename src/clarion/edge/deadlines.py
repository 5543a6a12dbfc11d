"""How long a connection waits for its client: for the next bytes of a request, and for a response to be taken.

One timer serves many requests: a check costs less than a new timer.
"""

import asyncio
import math
from collections.abc import Callable

from clarion.domain.limits import (
    BODY_BYTES_PER_S_MIN,
    BODY_GRACE_MS,
    BODY_TOTAL_MS_MAX,
    RESPONSE_BYTES_PER_S_MIN,
    RESPONSE_TOTAL_MS_MAX,
    RESPONSE_WAIT_MS_MAX,
)
from clarion.edge.output import Output


class _Pace:
    """How fast a client takes what is written to it. Of what was unsent at one check it has to have taken a part at the
    next one, and all of it in `RESPONSE_TOTAL_MS_MAX`."""

    def __init__(self) -> None:
        self._taken_bytes = -1
        self._written_bytes = 0
        self._at_s = 0.0
        self._all_bytes = -1
        self._all_due_s = 0.0

    def forget(self) -> None:
        """Begin anew: nothing is unsent."""
        self._taken_bytes = self._all_bytes = -1

    def is_kept(self, taken_bytes: int, written_bytes: int, now_s: float) -> bool:
        """Return whether the client is fast enough. The bytes are those since the connection began."""
        if taken_bytes >= self._all_bytes:
            self._all_bytes, self._all_due_s = written_bytes, now_s + RESPONSE_TOTAL_MS_MAX / 1000
        elif now_s >= self._all_due_s:
            return False
        if self._taken_bytes >= 0:
            least = max(1, int((now_s - self._at_s) * RESPONSE_BYTES_PER_S_MIN))
            if taken_bytes < self._taken_bytes + min(least, self._written_bytes - self._taken_bytes):
                return False
        self._taken_bytes, self._written_bytes, self._at_s = taken_bytes, written_bytes, now_s
        return True


class Deadline:
    """The deadline of the client of one connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        output: Output,
        *,
        on_late: Callable[[], None],
        on_late_body: Callable[[], None],
        is_reading: Callable[[], bool],
    ) -> None:
        """`on_late` is called when nothing happened until the deadline, `on_late_body` when a body comes too slowly.
        `is_reading` returns whether the client can send: while it cannot, a body is not late."""
        self._loop = loop
        self._output = output
        self._on_late = on_late
        self._on_late_body = on_late_body
        self._is_reading = is_reading
        self.due_s = math.inf
        """When the client is late unless something happens, on the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._pace = _Pace()
        self.body_bytes = 0
        """Bytes that came of the body under way since it is followed."""
        self._body_since_s = self._body_due_s = math.inf

    def set(self, wait_s: float) -> float:
        """Set the deadline, and return the loop's time."""
        now_s = self._loop.time()
        self.due_s = due_s = now_s + wait_s
        if due_s < self._timer_s:
            self._arm(min(due_s, now_s + RESPONSE_WAIT_MS_MAX / 1000))
        return now_s

    def cancel(self) -> None:
        """Check nothing more: the connection is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def follow_body(self) -> None:
        """Follow the rate of a body that did not come with its head, from now on."""
        now_s = self._loop.time()
        self.body_bytes, self._body_since_s, self._body_due_s = 0, now_s, now_s + BODY_TOTAL_MS_MAX / 1000
        self._arm_within(BODY_GRACE_MS / 1000, now_s)

    def forget_body(self) -> None:
        """End what `follow_body` began."""
        self._body_since_s = math.inf

    def follow_response(self) -> None:
        """Check whether the client takes a response that is not complete yet."""
        self._arm_within(RESPONSE_WAIT_MS_MAX / 1000, self._loop.time())

    def _arm_within(self, wait_s: float, now_s: float) -> None:
        if now_s + wait_s < self._timer_s:
            self._arm(now_s + wait_s)

    def _arm(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_s = self._loop.call_at(at_s, self._check), at_s

    def _check(self) -> None:
        """Disconnect a client that takes its response too slowly, and report one that is late."""
        self._timer, self._timer_s = None, math.inf
        now_s = self._loop.time()
        unsent_bytes = self._output.get_write_buffer_size()
        if unsent_bytes:
            written_bytes = self._output.written_bytes
            if not self._pace.is_kept(written_bytes - unsent_bytes, written_bytes, now_s):
                self._output.abort()
                return
            self._arm_within(RESPONSE_WAIT_MS_MAX / 1000, now_s)
        else:
            self._pace.forget()
            if now_s >= self.due_s:
                self.due_s = math.inf
                self._on_late()
            elif self.due_s < math.inf:
                self._arm_within(self.due_s - now_s, now_s)
        if self._body_since_s < math.inf:
            self._check_body(now_s)

    def _check_body(self, now_s: float) -> None:
        grace_s = BODY_GRACE_MS / 1000
        if not self._is_reading():
            self._body_since_s += grace_s
        elif (
            now_s >= self._body_due_s or self.body_bytes < (now_s - self._body_since_s - grace_s) * BODY_BYTES_PER_S_MIN
        ):
            self._body_since_s = math.inf
            self._on_late_body()
            return
        self._arm_within(grace_s, now_s)
