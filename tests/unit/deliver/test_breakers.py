"""The breakers of several workers over one store: what each knows and writes, and how it works when the store fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_delivery import (
    ACCOUNT_HEALTH_MAX,
    HEALTH_CHECK_MS,
    HEALTH_CLEAN_MS,
    HEALTH_EARLY_MS,
    HEALTH_USED_MS,
    PROBE_MS_MAX,
    RECOVERY_QUIET_MS,
    THROTTLES_TO_PAUSE,
)
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Misconfigured, Refused, Throttled, Transient
from clarion.stores.memory.account_health import MemoryAccountHealth
from tests.contract.backends import ACCOUNT_HEALTH
from tests.unit.deliver.at_once import AtOnce, at_once

WALL_MS = 1_700_000_000_000
MAIL = Account("acme", "mail", Channel.EMAIL, "smtp", 0, {}, {}, version=1)
SAME_NAME = Account("other", "mail", Channel.EMAIL, "smtp", 0, {}, {}, version=1)


class Clock:
    """A clock that is set; the wall clock is ahead of it."""

    def __init__(self):
        self.time_ms = 5_000_000

    def monotonic_ms(self):
        return self.time_ms

    def now_ms(self):
        return WALL_MS + self.time_ms

    def jitter(self):
        return 0.0


class Lines:
    """Log lines and counts."""

    def __init__(self):
        self.lines = []
        self.counts = {}

    def log(self, level, event, **fields):
        self.lines.append((level, event, fields))

    def count(self, name, amount, **labels):
        key = (name, *labels.values())
        self.counts[key] = self.counts.get(key, 0) + amount


class Counting(MemoryAccountHealth):
    """A store of account health that counts its calls, and fails on request."""

    def __init__(self):
        super().__init__()
        self.changes = self.reads = 0
        self.fails = None

    async def swap(self, groups):
        self.changes += 1
        if self.fails:
            raise self.fails
        names = [change.name for group in groups for change in group]
        assert len(set(names)) == len(names)
        return await super().swap(groups)

    async def read(self, names):
        self.reads += 1
        if self.fails:
            raise self.fails
        return await super().read(names)


class World:
    """Some workers, one store."""

    def __init__(self, workers=2, store=None):
        self.clock = Clock()
        self.store = store or Counting()
        self.lines = [Lines() for _ in range(workers)]
        self.workers = [AtOnce(Breakers(self.store, self.clock, lines)) for lines in self.lines]
        self.one, self.other = self.workers[0], self.workers[-1]

    def pass_ms(self, passed_ms):
        self.clock.time_ms += passed_ms
        for worker in self.workers:
            worker.refresh()

    def call(self, worker, outcome, account=MAIL, times=1):
        for _ in range(times):
            assert worker.admit(account, 1).granted == 1
            worker.report(account, outcome)

    def bring_down(self, account=MAIL):
        self.call(self.one, Misconfigured("key revoked"), account)

    def until_probed(self):
        self.pass_ms(5_000)

    def changed(self):
        return [(change.before, change.state) for worker in self.workers for change in worker.changes()]


@pytest.fixture
def world():
    return World()


def test_a_healthy_account_costs_only_occasional_reads(world):
    world.call(world.one, Accepted())
    asked = world.store.changes + world.store.reads
    world.call(world.one, Accepted(), times=1_000)
    assert world.store.changes + world.store.reads == asked
    for _ in range(100):
        world.pass_ms(10)
        world.call(world.one, Accepted(), times=10)
    assert world.store.reads <= 2 + 1_000 // HEALTH_CHECK_MS
    assert world.store.changes <= asked + 1 + 1_000 // HEALTH_CLEAN_MS


def test_healthy_accounts_are_reported_together_and_without_urgency():
    world = World(1)
    clerk = Breakers(world.store, world.clock, Lines())
    accounts = [replace(MAIL, tenant=f"tenant-{number}") for number in range(5)]
    at_once(clerk.refresh(accounts))
    world.clock.time_ms += HEALTH_CLEAN_MS
    before = world.store.changes
    for one in accounts:
        clerk.report(one, Accepted())
    assert (clerk.is_due, clerk.is_urgent, world.store.changes) == (True, False, before)

    at_once(clerk.flush())
    assert (clerk.is_due, world.store.changes) == (False, before + 1)


def test_opening_a_breaker_is_urgent_and_flushes_the_rest():
    world = World(1)
    clerk = Breakers(world.store, world.clock, Lines())
    at_once(clerk.refresh([MAIL, SAME_NAME]))
    world.clock.time_ms += HEALTH_CLEAN_MS
    before = world.store.changes
    clerk.report(SAME_NAME, Accepted())
    clerk.report(MAIL, Accepted())
    clerk.report(MAIL, Misconfigured("key revoked"))
    assert clerk.is_urgent

    at_once(clerk.flush())
    assert (clerk.is_due, clerk.is_urgent, world.store.changes) == (False, False, before + 1)
    assert clerk.state(MAIL) == "open"


def test_misconfiguration_is_known_at_once_locally_and_soon_everywhere(world):
    assert world.other.admit(MAIL, 5).granted == 5
    world.bring_down()
    grant = world.one.admit(MAIL, 5)
    assert (grant.granted, grant.state, grant.detail) == (0, "open", "key revoked")
    assert grant.until_ms == world.clock.now_ms() + 5_000
    world.pass_ms(HEALTH_CHECK_MS)
    assert world.other.admit(MAIL, 5) == grant._replace(until_ms=grant.until_ms)
    assert world.other.state(MAIL) == "open"
    assert world.other.open_detail(MAIL) == "key revoked"


def test_a_new_worker_knows_what_the_others_know(world):
    world.bring_down()
    assert world.other.admit(MAIL, 5).granted == 0


def test_failures_of_all_workers_count_together():
    world = World(workers=4)
    for _ in range(5):
        for worker in world.workers:
            world.call(worker, Transient("503"))
    world.pass_ms(HEALTH_CHECK_MS)
    assert [worker.state(MAIL) for worker in world.workers] == ["open"] * 4
    assert world.changed() == [("closed", "open")]


def test_other_tenants_and_other_accounts_are_not_touched(world):
    world.bring_down()
    texts = Account("acme", "texts", Channel.SMS, "twilio", 0, {}, {}, version=1)
    assert world.one.admit(SAME_NAME, 3).granted == 3
    assert world.one.admit(texts, 3).granted == 3


def test_one_probe_for_all_workers_and_its_success_lets_all_continue(world):
    world.bring_down()
    world.until_probed()
    grants = [worker.admit(MAIL, 10) for worker in (world.one, world.other, world.one)]
    assert [grant.granted for grant in grants] == [1, 0, 0]
    assert grants[1].state == "half_open"
    assert grants[1].until_ms == world.clock.now_ms() + 1_000
    world.one.report(MAIL, Accepted())
    assert world.one.state(MAIL) == "recovering"
    world.pass_ms(HEALTH_CHECK_MS)
    assert 1 <= world.other.admit(MAIL, 10).granted <= 2
    assert world.other.state(MAIL) == "recovering"
    world.pass_ms(RECOVERY_QUIET_MS + HEALTH_CHECK_MS)
    assert world.other.admit(MAIL, 1_000).granted == 1_000
    assert world.changed() == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "recovering"),
        ("recovering", "closed"),
    ]


def test_a_probe_that_fails_opens_it_again_for_longer(world):
    world.bring_down()
    world.until_probed()
    assert world.one.admit(MAIL, 1).granted == 1
    world.one.report(MAIL, Ambiguous("no answer"))
    assert world.one.admit(MAIL, 1).until_ms == world.clock.now_ms() + 10_000
    assert [line[:2] for line in world.lines[0].lines] == [
        ("error", "provider_open"),
        ("info", "provider_half_open"),
        ("warning", "provider_open"),
    ]
    assert world.lines[0].counts[("provider_changes", "email", "open")] == 2


def test_an_earlier_call_does_not_count_as_the_probe(world):
    before_ms = world.clock.now_ms()
    world.bring_down()
    world.until_probed()
    assert world.one.admit(MAIL, 1).granted == 1
    world.one.report(MAIL, Accepted(), before_ms)
    world.one.report(MAIL, Transient("timed out"), before_ms)
    world.other.report(MAIL, Transient("timed out"))
    assert world.one.state(MAIL) == "half_open"
    world.clock.time_ms += 100
    world.one.report(MAIL, Accepted(), world.clock.now_ms() - 50)
    assert world.one.state(MAIL) == "recovering"
    for _ in range(50):
        world.one.report(MAIL, Transient("timed out"), before_ms)
    assert world.one.state(MAIL) == "recovering"


@pytest.mark.parametrize("given_back", [True, False])
def test_a_probe_that_was_not_called_is_free_at_once(world, given_back):
    world.bring_down()
    world.until_probed()
    assert world.one.admit(MAIL, 1).granted == 1
    if given_back:
        world.one.give_back(MAIL)
    else:
        world.one.report(MAIL, Refused("render_failed"))
    world.pass_ms(HEALTH_CHECK_MS)
    assert world.other.admit(MAIL, 1).granted == 1


def test_giving_back_without_a_probe_changes_nothing(world):
    world.one.give_back(MAIL)
    world.call(world.one, Accepted())
    world.one.give_back(MAIL)
    assert world.one.state(MAIL) == "closed"


def test_the_probe_of_a_dead_worker_is_released(world):
    world.bring_down()
    world.until_probed()
    assert world.one.admit(MAIL, 1).granted == 1
    world.pass_ms(PROBE_MS_MAX - 1)
    assert world.other.admit(MAIL, 1).granted == 0
    world.pass_ms(1)
    assert world.other.admit(MAIL, 1).granted == 1


def test_a_pause_holds_for_all_and_ends_by_itself(world):
    world.call(world.other, Accepted())
    for _ in range(2):
        world.call(world.one, Throttled(3_000), times=THROTTLES_TO_PAUSE - 1)
        assert world.one.admit(MAIL, 4).granted == 4, "calls accepted in between show that only those failed"
        world.call(world.one, Accepted())
    world.call(world.one, Throttled(3_000), times=THROTTLES_TO_PAUSE)
    grant = world.one.admit(MAIL, 4)
    assert (grant.granted, grant.until_ms, grant.state) == (0, world.clock.now_ms() + 3_000, "closed")
    assert grant.detail == "the provider asked for a pause"
    world.pass_ms(HEALTH_CHECK_MS)
    assert world.other.admit(MAIL, 4).granted == 0
    world.pass_ms(3_000 - HEALTH_CHECK_MS)
    assert world.one.admit(MAIL, 4).granted == world.other.admit(MAIL, 4).granted == 4


def test_concurrent_throttles_are_reported_once(world):
    world.call(world.one, Accepted())
    changes = world.store.changes
    for _ in range(100):
        world.one.report(MAIL, Throttled(3_000))
        world.clock.time_ms += 1
    assert world.store.changes == changes + 1


def test_a_recipient_that_is_throttled_and_dead_tokens_are_no_trouble_of_the_account(world):
    world.call(world.one, Throttled(60_000, scope="recipient"), times=100)
    world.call(world.one, InvalidRecipient("gone"), times=100)
    assert world.one.admit(MAIL, 7).granted == 7
    assert world.changed() == []


def test_an_account_that_is_new_is_looked_up_by_one_read(world):
    world.one.refresh([MAIL, SAME_NAME])
    assert (world.store.reads, world.store.changes) == (1, 0)
    assert world.one.admit(MAIL, 7).granted == 7
    assert world.store.reads == 1


def test_accounts_in_use_are_read_in_the_background(world):
    world.one.refresh([MAIL])
    for _ in range(HEALTH_USED_MS // HEALTH_EARLY_MS - 1):
        world.clock.time_ms += HEALTH_EARLY_MS
        world.one.refresh_early()
    reads = world.store.reads
    world.one.refresh([MAIL])
    assert world.one.admit(MAIL, 7).granted == 7
    assert world.store.reads == reads
    for _ in range(4 * HEALTH_USED_MS // HEALTH_EARLY_MS):
        world.clock.time_ms += HEALTH_EARLY_MS
        world.one.refresh_early()
    assert world.store.reads < reads + 2 * HEALTH_USED_MS // HEALTH_EARLY_MS, (
        "an account that is not in use is not read"
    )


def test_a_changed_account_starts_with_fresh_health_and_ignores_late_answers(world):
    world.bring_down()
    mended = replace(MAIL, version=2)
    assert world.one.admit(mended, 9).granted == 9
    world.one.report(MAIL, Misconfigured("key revoked"))
    assert world.one.state(mended) == "closed"
    assert world.other.admit(mended, 9).granted == 9
    assert world.changed() == [("closed", "open"), ("open", "closed")]


def test_an_unused_degraded_account_recovers(world):
    for _ in range(20):
        world.call(world.one, Accepted(), times=18)
        world.call(world.one, Transient("503"), times=2)
        world.pass_ms(1_000)
    assert world.one.state(MAIL) == "degraded"
    assert world.one.admit(MAIL, 100).granted == 100
    for _ in range(400):
        world.pass_ms(1_000)
        world.other.refresh([MAIL])
    assert world.other.state(MAIL) == "closed"
    assert world.changed() == [("closed", "degraded"), ("degraded", "closed")]


def test_the_rate_of_waiting_deliveries_is_known(world):
    for _ in range(60):
        world.call(world.one, Accepted(), times=50)
        world.pass_ms(1_000)
    assert 45_000 <= world.one.pace_m(MAIL) <= 55_000
    world.bring_down()
    assert 1.35 * 45_000 <= world.one.pace_m(MAIL) <= 1.45 * 55_000


@pytest.mark.parametrize("error", [Overloaded("busy"), DurabilityError("broken")])
def test_without_the_store_each_worker_uses_its_own_results(error):
    world = World()
    world.store.fails = error
    world.call(world.one, Accepted(), times=10)
    world.bring_down()
    assert world.one.admit(MAIL, 5).granted == 0
    assert world.other.admit(MAIL, 5).granted == 5
    world.until_probed()
    assert world.one.admit(MAIL, 5).granted == 1
    world.one.report(MAIL, Accepted())
    assert world.one.state(MAIL) == "recovering"
    assert [line[:2] for line in world.lines[0].lines].count(("warning", "account_health_unshared")) == 1
    world.pass_ms(60_000)
    world.one.admit(MAIL, 1)
    assert [line[:2] for line in world.lines[0].lines].count(("warning", "account_health_unshared")) == 2


def test_unwritten_changes_are_written_when_the_store_works_again(world):
    world.call(world.other, Accepted())
    world.store.fails = Overloaded("busy")
    world.bring_down()
    world.store.fails = None
    world.pass_ms(HEALTH_CHECK_MS)
    assert world.one.admit(MAIL, 1).granted == 0
    world.pass_ms(HEALTH_CHECK_MS)
    assert world.other.admit(MAIL, 1).granted == 0


def test_the_answer_of_a_probe_is_not_lost_with_the_store(world):
    world.bring_down()
    world.until_probed()
    assert world.one.admit(MAIL, 1).granted == 1
    world.store.fails = Overloaded("busy")
    world.one.report(MAIL, Accepted())
    world.store.fails = None
    world.pass_ms(HEALTH_CHECK_MS)
    world.pass_ms(HEALTH_CHECK_MS)
    assert world.other.admit(MAIL, 1).state == "recovering"


def test_memory_is_bounded(world):
    for number in range(ACCOUNT_HEALTH_MAX + 3):
        world.one.refresh([replace(MAIL, name=f"mail{number}")])
    assert len(world.one._views._views) == ACCOUNT_HEALTH_MAX
    assert len(world.one._views._used) <= ACCOUNT_HEALTH_MAX


def test_two_workers_share_health_in_a_file(tmp_path):
    clock, lines = Clock(), Lines()
    stores = [ACCOUNT_HEALTH["sqlite"](tmp_path) for _ in range(2)]
    one, other = (AtOnce(Breakers(store, clock, lines)) for store in stores)
    assert other.admit(MAIL, 1).granted == 1
    one.report(MAIL, Misconfigured("key revoked"))
    clock.time_ms += HEALTH_CHECK_MS
    assert other.admit(MAIL, 1).granted == 0
    clock.time_ms += 5_000
    assert [worker.admit(MAIL, 3).granted for worker in (other, one, other)] == [1, 0, 0]
    other.report(MAIL, Accepted())
    clock.time_ms += HEALTH_CHECK_MS
    assert one.admit(MAIL, 3).state == "recovering"
    for store in stores:
        store.close()


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0, 50, 1_000, 6_000, 61_000]),
        st.sampled_from(
            [None, Accepted(), Transient("503"), Throttled(), Misconfigured("401"), Refused("unbuildable")]
        ),
        st.integers(1, 30),
    ),
    max_size=60,
)


@given(STEPS)
def test_in_any_order_there_is_one_probe_and_each_change_is_reported_once(steps):
    world = World(workers=3)
    out: list[tuple[int, int]] = []
    records = ["closed"]
    for index, passed_ms, outcome, number in steps:
        world.pass_ms(passed_ms)
        worker = world.workers[index]
        if outcome is None:
            grant = worker.admit(MAIL, number)
            assert grant.granted <= number
            assert grant.granted == number or grant.until_ms >= world.clock.now_ms()
            if grant.granted and grant.state == "half_open":
                assert grant.granted == 1
                out = [(who, end_ms) for who, end_ms in out if end_ms > world.clock.time_ms and who != index]
                assert not out
                out.append((index, world.clock.time_ms + PROBE_MS_MAX))
        else:
            for _ in range(number):
                worker.report(MAIL, outcome)
            out = [one for one in out if one[0] != index]
        for worker in world.workers:
            for change in worker.changes():
                assert change.before == records[-1] != change.state
                records.append(change.state)
