"""One worker's state of one account's limits: its holdings, the last known usage, and the times it promised.

While a request to the shared count is under way, the holdings are part of it: calls that end meanwhile, and returned
grants, are applied after the answer.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from clarion.deliver.rules.pace import (
    CONCURRENT,
    DAILY,
    RATE,
    RECIPIENT,
    Draw,
    Holds,
    OverLimit,
    kinds_of,
    rate_bucket,
    reserved_m,
    spread,
)
from clarion.domain.bucket import DAY_MS, THOUSAND, Bucket, leaked, room_m
from clarion.domain.content import Account
from clarion.domain.limits_delivery import (
    PACE_CALL_MS_DEFAULT,
    PACE_CALL_MS_MAX,
    PACE_CALL_MS_MIN,
    PACE_CALLS_FRESH_MS,
    PACE_LOOK_MIN,
    PACE_SPARE_DIVISOR,
    PACE_TURN_MS,
)
from clarion.domain.quota import Usage
from clarion.domain.resilience import Limits
from clarion.ports.quotas import BucketName
from clarion.ports.versioned import Versioned

_CALL_WEIGHT = 0.1


class Answer(NamedTuple):
    """The answer to a request to the shared count at a time, on a day: its buckets as stored, and the draw."""

    stored: list[Versioned[Usage]]
    drawn: Draw
    at_ms: int
    day: int


class LocalLimits:
    """The limits of one account in one worker. Times are of the monotonic clock. `stored` are its buckets as stored at
    the last request; at first they are assumed to be unused."""

    def __init__(self, account: Account) -> None:
        self.key = (account.tenant, account.name)
        self.tenant = account.tenant
        self.owner = f"account:{account.name}"
        self._salt = blake2b(f"{account.tenant}/{account.name}".encode(), digest_size=32).digest()
        self.holds = Holds()
        self.synced_ms = -PACE_CALLS_FRESH_MS
        self._seen_ms = self._day = 0
        self._rate_used_m = 0
        self._day_full = False
        self._horizons: dict[tuple[str, bool, bool], float] = {}
        self._call_ms: float = PACE_CALL_MS_DEFAULT
        self._busy_ms = 0
        self._is_asking = False
        self._ended_meanwhile = self._back_meanwhile = 0
        self.set_limits(account.rules.limits)

    def set_limits(self, limits: Limits) -> None:
        """Apply these limits from now on; calls under way stay counted."""
        self.limits = limits
        self.kinds = kinds_of(limits)
        self.names = [BucketName(self.tenant, self.owner, kind) for kind in self.kinds]
        self.bucket = Bucket(1) if limits.per_second is None else rate_bucket(limits.per_second)
        self.stored = [Versioned(Usage(), 0)] * len(self.names)
        self.holds = Holds(calls=self.holds.calls)
        self._rate_used_m, self._day_full = 0, False
        self._horizons.clear()

    def recipient(self, address: str) -> BucketName:
        """Return the bucket of a recipient: a digest, since addresses are personal data."""
        digest = blake2b(address.encode("utf-8", "surrogatepass"), digest_size=12, key=self._salt)
        return BucketName(self.tenant, self.owner, f"to:{digest.hexdigest()}")

    def settle(self, now_ms: int, day: int) -> None:
        """Apply the leak until now, and begin a new day when there is one."""
        passed_ms = max(0, now_ms - self._seen_ms)
        self._seen_ms = max(now_ms, self._seen_ms)
        rate_m, held_day, calls = self.holds
        if day != self._day:
            self._day, self._day_full, held_day = day, False, 0
        if passed_ms:
            rate_m = leaked(self.bucket, rate_m, passed_ms)
            self._rate_used_m = leaked(self.bucket, self._rate_used_m, passed_ms)
            self._busy_ms += passed_ms * calls.under_way
        self.holds = Holds(rate_m, held_day, calls)

    def exhausted_limit(self, urgent: bool) -> str:
        """Return the limit that is known to have no room, or an empty string: other workers only take, so the last
        known usage is a lower bound."""
        if self._day_full and not self.holds.day:
            return DAILY
        if self.limits.per_second is None:
            return ""
        return RATE if self._open_m() - THOUSAND < reserved_m(self.bucket, urgent, fresh=False) else ""

    def batch_to_ask(self, number: int) -> int:
        """Return for how many deliveries of a batch it is worth reading when their recipients are free."""
        if self.limits.per_second is None or self.limits.recipient_interval_ms is None:
            return number
        return min(number, PACE_LOOK_MIN + 2 * self._open_m() // THOUSAND)

    def has_promises(self, urgent: bool) -> bool:
        """Return whether some promised return times are still ahead."""
        return max(self._horizon_ms(RATE, urgent, again) for again in (False, True)) > self._seen_ms

    def draw_from_hold(self, count: int, fresh: bool) -> bool:
        """Draw from the holdings alone; return whether they were enough. `fresh`: the deliveries give way to earlier
        ones."""
        limits, (rate_m, held_day, calls) = self.limits, self.holds
        if fresh or limits.recipient_interval_ms is not None:
            return False
        if limits.per_second is not None and rate_m < count * THOUSAND:
            return False
        if limits.per_day is not None and held_day < count:
            return False
        if limits.concurrent is not None:
            current = self._seen_ms - self.synced_ms < PACE_CALLS_FRESH_MS
            if not current or calls.booked - calls.under_way < count:
                return False
            calls = calls._replace(under_way=calls.under_way + count)
        self.holds = Holds(max(0, rate_m - count * THOUSAND), max(0, held_day - count), calls)
        return True

    def begin(self) -> None:
        """Note that a request to the shared count is under way."""
        self._is_asking = True

    def end(self, answer: Answer | None) -> None:
        """Apply the answer, None if there was none, and then what happened meanwhile."""
        self._is_asking = False
        if answer is not None:
            self._update(answer)
        ended, back = self._ended_meanwhile, self._back_meanwhile
        self._ended_meanwhile = self._back_meanwhile = 0
        for _ in range(ended):
            self.end_call()
        if back:
            self.give_back(back)

    def _update(self, answer: Answer) -> None:
        stored, drawn, at_ms, day = answer
        self.synced_ms = max(at_ms, self.synced_ms)
        if drawn.usages.keys() != set(self.kinds):
            return  # the limits changed meanwhile: the draw stays counted
        self.stored = stored[: len(self.names)]
        passed_ms = max(0, self._seen_ms - at_ms)  # time has passed since the draw
        rate_m, held_day, calls = drawn.holds
        self.holds = Holds(leaked(self.bucket, rate_m, passed_ms), held_day if day == self._day else 0, calls)
        if RATE in drawn.usages:
            self._rate_used_m = leaked(self.bucket, drawn.usages[RATE].used_m, passed_ms)
        if DAILY in drawn.usages and self.limits.per_day is not None and day == self._day:
            self._day_full = drawn.usages[DAILY].used_m >= self.limits.per_day * THOUSAND

    def give_back(self, count: int) -> None:
        """Return granted calls that are not made."""
        if self._is_asking:
            self._back_meanwhile += count
            return
        rate_m, held_day, calls = self.holds
        if self.limits.per_second is not None:
            rate_m = min(rate_m + count * THOUSAND, self._rate_used_m)
        if self.limits.per_day is not None:
            held_day += count
        self.holds = Holds(rate_m, held_day, calls._replace(under_way=max(0, calls.under_way - count)))

    def end_call(self) -> None:
        """Count a call that ended. The duration of calls is estimated by the time under way between two ends (Little's
        law)."""
        if self._is_asking:
            self._ended_meanwhile += 1
            return
        calls = self.holds.calls
        self._call_ms += (self._busy_ms - self._call_ms) * _CALL_WEIGHT
        self._busy_ms = 0
        self.holds = self.holds._replace(calls=calls._replace(under_way=max(0, calls.under_way - 1)))

    def has_calls(self) -> bool:
        """Return whether calls are under way, or may be."""
        return self._is_asking or self.holds.calls.under_way > 0

    def should_share_calls(self) -> bool:
        """Return whether ended calls are to be reported: now when none is under way and other workers could need them,
        soon otherwise."""
        if self._is_asking:
            return False
        calls, limit = self.holds.calls, self.limits.concurrent or 0
        if calls.booked <= calls.under_way:
            return False
        missed = not calls.under_way and calls.booked * PACE_SPARE_DIVISOR > limit
        return missed or self._seen_ms - self.synced_ms >= PACE_CALLS_FRESH_MS

    def return_times(
        self, late: Sequence[OverLimit | None], waited: Sequence[bool], urgent: bool, ahead_ms: int
    ) -> list[int | None]:
        """Return when deliveries may try again (Unix ms: the monotonic clock plus `ahead_ms`). Those that `waited`
        before only queue behind each other, all other deliveries behind everyone."""
        out: list[int | None] = [None] * len(late)
        queues: dict[tuple[str, bool], list[int]] = {}
        for index, cause in enumerate(late):
            if cause is None:
                continue
            if cause.limit == DAILY:
                out[index] = (self._day + 1) * DAY_MS
            elif cause.limit == RECIPIENT:
                out[index] = cause.free_ms + ahead_ms
            else:
                queues.setdefault((cause.limit, bool(waited) and waited[index]), []).append(index)
        for limit, again in sorted(queues, reverse=True):
            indexes = queues[limit, again]
            first_ms, step_ms = self._spacing(limit, urgent)
            behind_ms = self._horizon_ms(limit, urgent, again=True)
            if not again:
                behind_ms = max(behind_ms, self._horizon_ms(limit, urgent, again=False))
            moments, horizon_ms = spread(behind_ms, self._seen_ms, first_ms, step_ms, len(indexes))
            self._horizons[limit, urgent, again] = horizon_ms
            for index, moment_ms in zip(indexes, moments, strict=True):
                out[index] = moment_ms + ahead_ms
        return out

    def _spacing(self, limit: str, urgent: bool) -> tuple[int, float]:
        """Return the time until the first delivery over a limit may be sent, and the interval of those behind it."""
        if limit == CONCURRENT:
            call_ms = min(max(self._call_ms, PACE_CALL_MS_MIN), PACE_CALL_MS_MAX)
            step_ms = call_ms / (self.limits.concurrent or 1)
            return min(int(step_ms), PACE_TURN_MS // 2), step_ms
        missing_m = THOUSAND + reserved_m(self.bucket, urgent, fresh=False) - self._open_m()
        rate = self.bucket.rate_per_s
        return -(-missing_m // rate), 1000 / rate

    def _horizon_ms(self, limit: str, urgent: bool, again: bool) -> float:
        return self._horizons.get((limit, urgent, again), 0.0)

    def _open_m(self) -> int:
        return self.holds.rate_m + room_m(self.bucket, self._rate_used_m)
