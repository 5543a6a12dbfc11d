"""What an account's limits grant, and when the rest may ask again."""

import pytest

from clarion.deliver.accounts.worker_pace import Pace
from clarion.domain.channel import Lane
from clarion.domain.limits_delivery import (
    PACE_BURST_MS,
    PACE_CALLS_SPAN_MS,
    PACE_CALLS_SPANS,
    PACE_LOCAL_LOG_MS,
    PACE_LOCAL_MS,
    PACE_TURN_MS,
    PARK_MS_MAX,
)
from tests.contract.backends import QUOTAS
from tests.unit.deliver.at_once import AtOnce
from tests.unit.deliver.paces import WALL_MS, Site, account

DAY_MS = 24 * 3600 * 1000
MIDNIGHT_MS = (WALL_MS // DAY_MS + 1) * DAY_MS


def test_an_account_without_limits_costs_nothing():
    site = Site()
    assert site.pace.is_unlimited(site.account)
    assert site.draw(3) == [None] * 3
    site.pace.end_call(site.account)
    site.pace.give_back(site.account, 1)
    assert site.store.changes == 0
    assert not site.pace.is_unlimited(account(per_day=1))


def test_half_a_second_at_once_and_the_rate_after_that():
    site = Site(per_second=100)
    assert site.granted(80, lane=Lane.CRITICAL) == 100 * PACE_BURST_MS // 1000
    site.after(200)
    assert site.granted(80, lane=Lane.CRITICAL) == 20


def test_a_burst_refills_at_the_rate():
    site = Site(per_second=10)
    times = [time_ms - WALL_MS for time_ms in site.draw(1_000, lane=Lane.CRITICAL) if time_ms is not None]
    assert len(times) == 995
    assert times[0] == 100
    assert times == sorted(times)
    assert times[-1] == pytest.approx(99_500)
    site.after(50)
    (later,) = site.draw(1, lane=Lane.CRITICAL)
    assert later == WALL_MS + 99_600, "behind those that were promised a time before"


def test_waits_are_bounded_and_never_in_the_past():
    site = Site(per_second=1)
    times = site.draw(2_000)
    assert times[0] is None
    assert max(times[1:]) == WALL_MS + PARK_MS_MAX
    site.after(2 * PARK_MS_MAX)
    site.granted(1)
    assert min(site.draw(5)) > site.clock.now_ms()


def test_urgent_lanes_use_room_that_other_lanes_left():
    site = Site(per_second=100)
    assert site.granted(1_000, lane=Lane.BULK) == 40
    assert site.granted(1_000, lane=Lane.NORMAL) == 0
    assert site.granted(1_000, lane=Lane.HIGH) == 10
    site.after(100)
    assert site.granted(1_000, lane=Lane.BULK) == 0
    assert site.granted(1_000, lane=Lane.CRITICAL) == 10


def test_new_deliveries_leave_room_for_those_that_waited():
    site = Site(per_second=10)
    site.granted(30, lane=Lane.HIGH)
    site.after(300)
    assert site.granted(3, lane=Lane.HIGH, waited=[False] * 3) == 0
    assert site.granted(5, lane=Lane.HIGH, waited=[False, True, True, True, True]) == 3
    first, second = site.draw(2, lane=Lane.HIGH, waited=[True, False])
    assert first == site.clock.now_ms() + 200, "behind the one that waits already"
    assert second > WALL_MS + 2_500, "the one sent to the end of the queue"
    site.after(500)
    assert site.granted(3, lane=Lane.HIGH, waited=[False] * 3) == 2, "unclaimed room is not wasted"


def test_deliveries_that_waited_queue_only_behind_each_other():
    site = Site(per_second=10)
    site.granted(105, lane=Lane.HIGH)
    site.after(100)
    assert site.granted(1, lane=Lane.HIGH, waited=[True]) == 1
    now_ms = site.clock.now_ms()
    assert site.draw(2, lane=Lane.HIGH, waited=[True] * 2) == [now_ms + 100, now_ms + 200]
    assert site.draw(2, lane=Lane.HIGH, waited=[True, False]) == [now_ms + 300, WALL_MS + 10_100]


def test_one_change_of_the_store_a_batch_and_none_where_nothing_is_left():
    site = Site(per_second=10, per_day=1_000, concurrent=500, recipient_interval_ms=10)
    site.draw(50, lane=Lane.HIGH)
    assert site.store.changes == 1
    site.draw(50, lane=Lane.HIGH)
    assert site.store.changes == 1, "it is known that nothing is left"


def test_at_a_thousand_a_second_the_store_is_not_asked_for_each_delivery():
    site = Site(per_second=2_000)
    for _ in range(1_000):
        site.after(1)
        assert site.granted(1) == 1
    assert site.store.changes < 300


def test_a_day_ends_at_midnight_utc():
    site = Site(per_day=5)
    assert site.draw(7) == [None] * 5 + [MIDNIGHT_MS] * 2
    assert site.draw(1) == [MIDNIGHT_MS]
    assert site.store.changes == 1
    site.after(MIDNIGHT_MS - WALL_MS)
    assert site.draw(6) == [None] * 5 + [MIDNIGHT_MS + DAY_MS]


def test_a_workers_share_of_a_day_is_not_lost():
    site = Site(per_day=1_000)
    assert sum(site.granted(1) for _ in range(1_100)) == 1_000
    assert site.store.changes < 900


def test_a_share_of_a_day_ends_with_the_day():
    site = Site(per_day=1_000)
    site.granted(1)
    site.after(MIDNIGHT_MS - WALL_MS)
    assert sum(site.granted(1) for _ in range(1_020)) == 1_000


def test_calls_under_way_are_counted_over_all_workers():
    site = Site(workers=2, concurrent=3)
    assert site.granted(2, worker=0) == 2
    assert site.granted(5, worker=1) == 1
    site.paces[0].end_call(site.account)
    assert site.granted(5, worker=0) == 1
    site.paces[1].end_call(site.account)
    site.after(PACE_TURN_MS)
    assert site.granted(5, worker=0) == 1


def test_a_refused_delivery_has_a_call_reserved():
    site = Site(workers=2, concurrent=1)
    assert site.granted(1, worker=0) == 1
    (again,) = site.draw(1, worker=1)
    site.pace.end_call(site.account)
    assert site.granted(1, worker=0) == 0
    site.after(again - site.clock.now_ms())
    assert site.granted(1, worker=1) == 1


def test_calls_of_a_dead_worker_are_free_after_a_while_and_those_of_a_live_one_never():
    site = Site(workers=2, concurrent=2)
    assert site.granted(2, worker=0) == 2
    for _ in range(4 * PACE_CALLS_SPANS):
        site.after(PACE_CALLS_SPAN_MS // 2)
        site.paces[0].end_call(site.account)
        site.after(PACE_TURN_MS)
        assert site.granted(1, worker=0) == 1
        assert site.granted(1, worker=1) == 0
    site.after(PACE_CALLS_SPANS * PACE_CALLS_SPAN_MS)
    assert site.granted(3, worker=1) == 2


def test_the_duration_of_calls_is_estimated_from_ended_ones():
    site = Site(concurrent=2)
    for _ in range(100):
        site.granted(2)
        site.after(10_000)
        site.pace.end_call(site.account)
        site.pace.end_call(site.account)
    site.granted(2)
    *_, last = site.draw(5)
    assert last - site.clock.now_ms() == pytest.approx(1_000 + 4 * 5_000, rel=0.1)


def test_one_message_to_a_recipient_in_its_interval():
    site = Site(workers=2, recipient_interval_ms=6_000)
    assert site.draw(0, to=["+1", "+2", "+1", "+1"]) == [None, None, WALL_MS + 6_000, WALL_MS + 12_000]
    site.after(1_000)
    assert site.draw(0, to=["+1", "+3"], worker=1) == [WALL_MS + 6_000, None]
    site.after(5_000)
    assert site.draw(0, to=["+1", "+3"]) == [None, WALL_MS + 7_000]


def test_addresses_are_not_in_the_store_and_do_not_stay_for_ever():
    site = Site(recipient_interval_ms=6_000)
    site.draw(0, to=[f"+4915112345{index}" for index in range(200)])
    assert not any("49151" in kind for _, _, kind in site.store.names)
    assert len(site.store.names) == 200
    for _ in range(270):
        site.after(1_000)
        site.draw(0, to=["+1"])
    assert len(site.store.names) == 1


def test_equal_addresses_of_two_accounts_have_nothing_in_common():
    site = Site(recipient_interval_ms=6_000)
    site.draw(0, to=["+1"])
    assert site.pace.draw(account("second", recipient_interval_ms=6_000), Lane.HIGH, ["+1"]) == [None]
    assert len({name.kind for name in site.store.names}) == 2


def test_returned_room_can_be_used_again():
    site = Site(per_second=10, per_day=5, concurrent=5)
    assert site.granted(5, lane=Lane.HIGH) == 5
    assert site.granted(1, lane=Lane.HIGH) == 0
    site.pace.give_back(site.account, 5)
    assert site.granted(6, lane=Lane.HIGH) == 5


def test_workers_with_connections_of_their_own_share_one_count(tmp_path):
    site = Site(per_second=20, per_day=30, concurrent=8, recipient_interval_ms=1_000)
    stores = [QUOTAS["sqlite"](tmp_path) for _ in range(2)]
    one, other = (AtOnce(Pace(store, site.clock, site.telemetry, f"worker-{at}")) for at, store in enumerate(stores))
    granted = [pace.draw(site.account, Lane.HIGH, ["+1", "+2", "+3", "+4", "+5", "+6"]) for pace in (one, other)]
    assert [times.count(None) for times in granted] == [6, 0]
    assert one.draw(site.account, Lane.HIGH, [f"+7{index}" for index in range(9)]).count(None) == 2
    for _ in range(8):
        one.end_call(site.account)
    site.after(1_000)
    assert other.draw(site.account, Lane.HIGH, ["+1", "+2", "+71", "+8"]) == [None] * 4
    for store in stores:
        store.close()


def test_a_limit_that_changes_holds_at_once_and_calls_under_way_stay_counted():
    site = Site(concurrent=5)
    site.granted(3)
    site.account = account(concurrent=4, per_second=100)
    assert site.granted(9) == 1


def test_without_the_store_each_worker_continues_with_a_quarter():
    site = Site(workers=2, per_second=80, concurrent=80, per_day=400, recipient_interval_ms=6_000)
    site.store.fails = True
    assert site.granted(100, lane=Lane.HIGH, worker=0) == 10
    assert site.granted(100, lane=Lane.HIGH, worker=1) == 10
    assert site.granted(1, lane=Lane.HIGH, to=["+10"]) == 0
    site.after(PACE_LOCAL_MS - 1)
    changes = site.store.changes
    assert site.granted(8, lane=Lane.HIGH, to=[f"+2{index}" for index in range(20)]) == 10
    assert site.store.changes == changes, "a store that fails is not asked again at once"
    for _ in range(200):
        site.after(500)
        site.granted(10, lane=Lane.HIGH, to=[f"+3{site.clock.passed_ms}{index}" for index in range(20)])
        for _ in range(10):
            site.pace.end_call(site.account)
    assert [line[:2] for line in site.telemetry.lines] == [("error", "pace_local")] * 3
    assert PACE_LOCAL_LOG_MS > 50 * 500, "one line a minute and worker"
    site.store.fails = False
    site.after(PACE_LOCAL_MS)
    assert site.granted(40, lane=Lane.HIGH) == 40


def test_how_many_wait_for_which_limit_is_counted():
    site = Site(per_day=2)
    site.draw(5)
    assert site.telemetry.counts == {("paced", "sms", "per_day"): 3}
