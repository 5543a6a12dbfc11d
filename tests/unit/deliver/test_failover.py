"""Several accounts: which one is used, what fails over to the next one, what waits, and how a route continues."""

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest

from clarion.deliver.accounts.budgets import Budgets
from clarion.deliver.accounts.worker import Accounts
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.rules.retry import RetryPolicy
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event, State
from clarion.domain.limits_delivery import PARK_MS_MAX
from clarion.domain.resilience import AccountRules, Breaker
from clarion.journal.events import AttemptedFrame, HealthFrame
from clarion.stores.memory.account_health import MemoryAccountHealth
from clarion.wait.worker import TimerWorker
from tests.stages.virtual import run, until
from tests.stages.world import TENANT, Unhindered, World, address

FINE: dict[str, Any] = {}


class EditableDirectory:
    """A directory whose SMS accounts a test sets."""

    def __init__(self, directory: Any, *accounts: Account) -> None:
        self._directory = directory
        self._changes = 0
        self.current = True
        self.sms = list(accounts)

    @property
    def sms(self) -> list[Account]:
        return self._sms

    @sms.setter
    def sms(self, accounts: list[Account]) -> None:
        self._sms = accounts
        self._changes += 1

    def is_current(self) -> bool:
        return self.current

    def revision(self, tenant: str) -> int:
        return int(self._directory.revision(tenant)) + self._changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._directory, name)

    async def accounts(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Account]]:
        found: dict[tuple[str, str], list[Account]] = await self._directory.accounts(places)
        return found | {place: self.sms for place in places if place[1] == Channel.SMS}


def account(name: str, settings: dict[str, Any], priority: int = 1, version: int = 1, **rules: Any) -> Account:
    return Account(TENANT, name, Channel.SMS, "sandbox", priority, settings, {}, version, AccountRules(**rules))


def always(outcome: str) -> dict[str, Any]:
    return {"by_attempt": [outcome]}


class Running:
    """A world with timers, a pool and real breakers."""

    def __init__(self, directory: Any, *accounts: Account) -> None:
        self.shop = EditableDirectory(directory, *accounts)
        self.world = World(self.shop)  # type: ignore[arg-type]
        self.account_health = MemoryAccountHealth()

    async def __aenter__(self) -> World:
        world, free = self.world, Unhindered()
        breakers = Breakers(self.account_health, world.clock, world.notes)
        vendors = {(each, "sandbox"): world.vendor for each in CHANNELS}
        used = Accounts(self.shop, vendors, breakers, free, Budgets(), world.clock)  # type: ignore[arg-type]
        self._stop = asyncio.Event()
        timers = TimerWorker(world.journal, world.journal, world.clock, world.notes, retention_ms=10**9)
        self._waiting = asyncio.create_task(timers.run(self._stop))
        self._pool = await world.pool(accounts=used, policy=RetryPolicy((1_000, 2_000, 4_000, 8_000), 3_600_000))
        return world

    async def __aexit__(self, *_: object) -> None:
        await self._pool.drain()
        self._stop.set()
        await self._waiting


def recorded_attempts(world: World) -> list[tuple[str, str, str, int]]:
    """Return every attempt: address, provider, event and reason."""
    return [
        turn
        for frame in world.events()
        if isinstance(frame, AttemptedFrame)
        for turn in zip(frame.addresses, frame.providers, frame.events, frame.reasons, strict=True)
    ]


def settled(world: World, count: int) -> bool:
    states = world.states()
    return len(states) == count and all(state >= State.SENT for state in states.values())


@pytest.mark.parametrize("outcome", ["transient", "throttled", "misconfigured"])
def test_an_attempt_surely_not_sent_fails_over_at_once(directory, outcome):
    async def scenario(running: Running) -> None:
        async with running as world:
            await world.accept(address("a"))
            await world.plan()
            began_ms = world.clock.now_ms()
            await until(lambda: settled(world, 1))
            assert world.clock.now_ms() - began_ms < 500

    running = Running(directory, account("first", always(outcome)), account("second", FINE, 2))
    run(scenario(running))
    assert recorded_attempts(running.world) == [
        (address("a"), "first", Event.RETRY, Reason.FAILED_OVER), (address("a"), "second", Event.ACCEPTED, 0),
    ]  # fmt: skip


def test_an_ambiguous_attempt_never_fails_over(directory):
    async def scenario(running: Running) -> None:
        async with running as world:
            await world.accept(address("a"))
            await world.plan()
            await until(lambda: settled(world, 1))

    running = Running(directory, account("first", {"by_attempt": ["ambiguous", "ambiguous", "accepted"]}),
                      account("second", FINE, 2))  # fmt: skip
    run(scenario(running))
    assert {provider for _, provider, *_ in recorded_attempts(running.world)} == {"first"}


def test_an_accounts_ambiguity_setting_counts(directory):
    async def scenario(running: Running) -> None:
        async with running as world:
            await world.accept(address("a"))
            await world.plan()
            await until(lambda: settled(world, 1))

    running = Running(directory, account("first", always("ambiguous"), on_ambiguous="assume_sent"))
    run(scenario(running))
    assert [(event, reason) for *_, event, reason in recorded_attempts(running.world)] == [
        (Event.ACCEPTED, Reason.ASSUMED_SENT)
    ]


def test_an_account_that_is_down_is_left_alone_and_nothing_is_lost(directory):
    count = 120

    async def scenario(running: Running) -> None:
        async with running as world:
            for number in range(count):
                await world.accept(address("a", number))
            await world.plan()
            await asyncio.sleep(40)
            assert len(world.vendor.calls) < 60, "twenty calls and those under way open it; then only probes are sent"
            waiting = [row for row in world.ledger.rows.values() if row.state is State.RETRYING]
            world.states()
            assert {row.reason for row in waiting} <= {Reason.PROVIDER_DOWN, Reason.NONE}
            running.shop.sms = [account("only", FINE)]
            await until(lambda: settled(world, count), limit_s=2 * PARK_MS_MAX / 1000)

    running = Running(directory, account("only", always("transient")))
    run(scenario(running))
    assert Counter(running.world.states().values()) == {State.SENT: count}
    changes = [frame for frame in running.world.events() if isinstance(frame, HealthFrame)]
    assert [state for frame in changes for state in frame.states][:2] == ["open", "recovering"]


def test_a_misconfigured_account_is_called_once_and_again_when_it_is_changed(directory):
    async def scenario(running: Running) -> None:
        async with running as world:
            for number in range(20):
                await world.accept(address("a", number))
                await world.plan()
                await asyncio.sleep(0.1)
            assert len(world.vendor.calls) <= 2
            assert all(state is State.RETRYING for state in world.states().values())
            running.shop.sms = [account("only", FINE, version=2)]
            await until(lambda: settled(world, 20), limit_s=60)

    running = Running(directory, account("only", always("misconfigured")))
    run(scenario(running))
    assert Counter(running.world.states().values()) == {State.SENT: 20}


def test_accounts_share_by_weight(directory):
    async def scenario(running: Running) -> None:
        async with running as world:
            for number in range(200):
                await world.accept(address("a", number))
            await world.plan()
            await until(lambda: settled(world, 200))

    running = Running(
        directory, account("heavy", FINE, weight=3), account("light", FINE), account("spare", FINE, weight=0)
    )
    run(scenario(running))
    shares = Counter(provider for _, provider, *_ in recorded_attempts(running.world))
    assert 120 <= shares["heavy"] <= 180
    assert shares["light"] == 200 - shares["heavy"]


def test_without_an_account_a_delivery_is_a_dead_letter_at_once(directory):
    running = Running(directory, account("only", FINE))

    async def gone(running: Running) -> None:
        await running.world.accept(address("a"))
        await running.world.plan()
        running.shop.sms = []
        async with running as world:
            await until(lambda: settled(world, 1))

    run(gone(running))
    (row,) = running.world.ledger.rows.values()
    assert (row.state, row.reason) == (State.DEAD, Reason.MISCONFIGURED)


def test_that_an_account_is_down_is_recorded_also_after_the_last_result(directory):
    class Slow(MemoryAccountHealth):
        async def swap(self, *asked: Any) -> Any:
            await asyncio.sleep(0.2)
            return await super().swap(*asked)

    def changes(world: World) -> list[str]:
        return [state for frame in world.events() if isinstance(frame, HealthFrame) for state in frame.states]

    async def scenario(running: Running) -> None:
        running.account_health = Slow()
        async with running as world:
            await world.accept(address("a"))
            await world.plan()
            await until(lambda: changes(world) != [], limit_s=0.9)
            assert len(recorded_attempts(world)) == 1

    breaker = Breaker(calls_min=1, open_ms=60_000)
    running = Running(directory, account("only", always("transient"), breaker=breaker))
    run(scenario(running))
    assert changes(running.world) == ["open"]
