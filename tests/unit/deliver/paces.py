"""Workers that share limits through one store, under a clock that tests set."""

from clarion.deliver.accounts.worker_pace import Pace
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import Overloaded
from clarion.domain.resilience import AccountRules, Limits
from clarion.stores.memory.quotas import MemoryQuotas
from tests.unit.deliver.at_once import AtOnce

WALL_MS = 1_790_000_000_000
"""2026-09-21T14:13:20Z."""


class TurnedClock:
    """Implements `ports.clock.Clock`; the monotonic clock differs from the wall clock."""

    def __init__(self) -> None:
        self.passed_ms = 0

    def now_ms(self):
        return WALL_MS + self.passed_ms

    def monotonic_ms(self):
        return 5_000_000 + self.passed_ms

    def entropy(self, size):
        return bytes(size)

    def jitter(self):
        return 0.5


class RecordedTelemetry:
    """Telemetry that stores counts and log lines."""

    def __init__(self) -> None:
        self.counts = {}
        self.lines = []

    def count(self, name, amount, **labels):
        key = (name, *labels.values())
        self.counts[key] = self.counts.get(key, 0) + amount

    def log(self, level, event, **fields):
        self.lines.append((level, event, fields))


class CountedQuotas(MemoryQuotas):
    """Counts changes, and fails on request."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self.fails = False

    async def swap(self, groups):
        self.changes += 1
        if self.fails:
            raise Overloaded("quotas cannot be counted now")
        names = [change.name for group in groups for change in group]
        assert len(set(names)) == len(names)
        return await super().swap(groups)

    @property
    def names(self):
        return set(self._stored)


class Site:
    """Workers, one store, one clock, one account."""

    def __init__(self, workers=1, **limits):
        self.clock, self.store, self.telemetry = TurnedClock(), CountedQuotas(), RecordedTelemetry()
        self.account = account(**limits)
        self.paces = [
            AtOnce(Pace(self.store, self.clock, self.telemetry, f"worker-{index}")) for index in range(workers)
        ]
        self.pace = self.paces[0]

    def draw(self, number, *, lane="normal", worker=0, to=None, waited=()):
        addresses = [f"+1{index}" for index in range(number)] if to is None else to
        return self.paces[worker].draw(self.account, lane, addresses, waited)

    def granted(self, number, **how):
        return self.draw(number, **how).count(None)

    def after(self, time_ms):
        self.clock.passed_ms += time_ms


def account(name="primary", **limits):
    return Account("acme", name, Channel.SMS, "sandbox", 0, {}, {}, 1, AccountRules(limits=Limits(**limits)))
