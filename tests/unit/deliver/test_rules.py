"""Properties of the delivery rules: what follows an outcome, a wait or a loss, the next account, and the window."""

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from clarion.deliver.rules.choice import chance_of, in_order
from clarion.deliver.rules.lost_attempt import after_loss
from clarion.deliver.rules.retry import RetryPolicy, Turn, after, parked, pause_ms
from clarion.deliver.rules.window import Done, FrameWindow
from clarion.domain.channel import LANES, Channel, Lane
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
from clarion.domain.limits_delivery import (
    FALLBACK_TRIES_MAX,
    LOST_STARTS_MAX,
    PARK_GROWTH,
    PARK_MS_MAX,
    PARK_MS_MIN,
    PARK_URGENT_MS_MAX,
)
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Misconfigured, Refused, Throttled, Transient
from clarion.domain.resilience import AccountRules
from clarion.domain.trail import Trail
from tests.strategies import outcomes

NOW_MS = 1_700_000_000_000

policies = st.builds(
    RetryPolicy,
    pauses_ms=st.lists(st.integers(1, 3_600_000), min_size=1, max_size=6).map(tuple),
    age_max_ms=st.integers(1_000, 7 * 86_400_000),
)
jitters = st.floats(0, 1, exclude_max=True)
trails = st.builds(
    Trail,
    since_ms=st.just(0) | st.integers(NOW_MS - 8 * 86_400_000, NOW_MS),
    failures=st.integers(0, 200),
    tried=st.sampled_from([(), ("second",)]),
    parks=st.integers(0, 3_000),
    parked_ms=st.none() | st.just(NOW_MS - 5_000),
)
turns = st.builds(
    Turn,
    now_ms=st.just(NOW_MS),
    jitter=jitters,
    provider=st.just("main"),
    others=st.booleans(),
    falls_back=st.booleans(),
    on_ambiguous=st.sampled_from(["retry", "assume_sent", "stop"]),
    expires_ms=st.none() | st.integers(NOW_MS - 10_000, NOW_MS + 10_000_000),
)


def deadline_ms(been: Trail, policy: RetryPolicy, turn: Turn) -> int:
    return min((been.since_ms or NOW_MS) + policy.age_max_ms, turn.expires_ms or 1 << 60)


@given(st.integers(1, 500), policies, jitters)
def test_a_pause_is_at_most_that_of_the_schedule(failures, policy, jitter):
    longest_ms = policy.pauses_ms[min(failures, len(policy.pauses_ms)) - 1]
    assert 0 <= pause_ms(failures, policy, jitter) <= longest_ms
    assert pause_ms(failures, policy, 0.999) >= longest_ms // 2


@given(outcomes, trails, policies, turns)
def test_the_next_attempt_is_before_the_end_and_after_a_stated_pause(outcome, been, policy, turn):
    following = after(outcome, been, policy, turn)
    goes_on = following.event in (Event.RETRY, Event.AMBIGUOUS)
    assert goes_on == (following.retry_ms is not None) == (following.trail is not None)
    if following.retry_ms is None or following.reason is Reason.FAILED_OVER:
        return
    assert following.retry_ms < deadline_ms(been, policy, turn)
    assert following.retry_ms >= NOW_MS + (getattr(outcome, "after_ms", None) or 0)
    assert following.trail.failures == been.failures + (following.reason is not Reason.MISCONFIGURED)
    assert following.trail.tried == ()
    assert not isinstance(outcome, Accepted | Refused | InvalidRecipient)


@given(outcomes, trails, policies, turns)
def test_only_attempts_surely_not_sent_fail_over(outcome, been, policy, turn):
    following = after(outcome, been, policy, turn)
    unsent = isinstance(outcome, Transient | Misconfigured) or (
        isinstance(outcome, Throttled) and outcome.scope == "account"
    )
    assert (following.reason is Reason.FAILED_OVER) == (unsent and turn.others)
    if following.reason is Reason.FAILED_OVER:
        assert following.retry_ms == NOW_MS
        assert following.trail.tried == (*been.tried, "main")
    if isinstance(outcome, Ambiguous) and following.trail is not None:
        assert following.trail.pinned == "main"


@given(trails, policies, jitters)
def test_each_outcome_has_one_meaning(been, policy, jitter):
    been = msgspec.structs.replace(been, since_ms=NOW_MS, failures=0)
    policy = msgspec.structs.replace(policy, age_max_ms=7 * 86_400_000)

    def following(outcome, **changes):
        records = after(outcome, been, policy, Turn(NOW_MS, jitter, "main", **changes))
        return records.event, records.reason

    assert following(Accepted()) == (Event.ACCEPTED, Reason.NONE)
    assert following(Transient()) == (Event.RETRY, Reason.NONE)
    assert following(Throttled(5)) == (Event.RETRY, Reason.NONE)
    assert following(Throttled(5, scope="recipient")) == (Event.RETRY, Reason.PACED)
    assert following(Throttled(5, scope="recipient"), others=True) == (Event.RETRY, Reason.PACED)
    assert following(Ambiguous()) == (Event.AMBIGUOUS, Reason.NONE)
    assert following(Ambiguous(), on_ambiguous="assume_sent") == (Event.ACCEPTED, Reason.ASSUMED_SENT)
    assert following(Ambiguous(), on_ambiguous="stop") == (Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)
    assert following(Refused("http_400")) == (Event.REFUSED, Reason.REFUSED)
    assert following(Refused("render_failed")) == (Event.REFUSED, Reason.RENDER_FAILED)
    assert following(Refused("egress_blocked")) == (Event.REFUSED, Reason.EGRESS_BLOCKED)
    assert following(InvalidRecipient()) == (Event.REFUSED, Reason.INVALID_RECIPIENT)
    assert following(Misconfigured()) == (Event.RETRY, Reason.MISCONFIGURED)
    assert following(Misconfigured(), falls_back=True) == (Event.EXHAUSTED, Reason.MISCONFIGURED)


@given(st.integers(1, 10), st.lists(jitters, min_size=10, max_size=10))
def test_passes_can_be_bounded_by_number(most, draws):
    policy, been = RetryPolicy((1,), 86_400_000, most), Trail()
    for number, jitter in enumerate(draws[:most], 1):
        records = after(Transient(), been, policy, Turn(NOW_MS, jitter, "main"))
        assert (records.event is Event.EXHAUSTED) == (number == most)
        been = records.trail or been


def test_without_any_account_a_delivery_does_not_wait():
    records = after(Misconfigured(), Trail(), _DAY, Turn(NOW_MS, 0.5, ""))
    assert (records.event, records.reason) == (Event.EXHAUSTED, Reason.MISCONFIGURED)


_DAY = RetryPolicy((30_000, 300_000, 1_800_000, 3_600_000), 86_400_000)


@given(st.lists(st.floats(0.2, 0.99), min_size=200, max_size=200), st.none() | st.integers(60_000, 20 * 3_600_000))
def test_a_delivery_that_always_fails_is_tried_to_its_end_and_not_much_more_often_than_the_schedule_says(
    draws, lasts_ms
):
    expires_ms = None if lasts_ms is None else NOW_MS + lasts_ms
    been, now_ms, tries = Trail(), NOW_MS, 0
    for jitter in draws:
        tries += 1
        records = after(Transient(), been, _DAY, Turn(now_ms, jitter, "main", expires_ms=expires_ms))
        if records.retry_ms is None:
            break
        assert records.retry_ms >= now_ms
        been, now_ms = records.trail, records.retry_ms
    assert records.event == (Event.EXPIRED if expires_ms else Event.EXHAUSTED)
    assert now_ms < (expires_ms or NOW_MS + _DAY.age_max_ms)
    assert been.failures == tries - 1


@given(st.lists(jitters, min_size=3, max_size=3))
def test_a_route_continues_after_a_few_failed_passes(draws):
    been, now_ms = Trail(), NOW_MS
    for number, jitter in enumerate(draws, 1):
        records = after(Transient(), been, _DAY, Turn(now_ms, jitter, "main", falls_back=True))
        if number < FALLBACK_TRIES_MAX:
            been, now_ms = records.trail, records.retry_ms
    assert (records.event, records.reason) == (Event.EXHAUSTED, Reason.ATTEMPTS_EXHAUSTED)


waits = st.sampled_from([Reason.PROVIDER_DOWN, Reason.PACED, Reason.RETRY_BUDGET])


@given(waits, st.integers(-10_000, 900_000), st.sampled_from(LANES), trails, policies, turns)
def test_a_deferred_delivery_returns_in_bounds_or_ends_with_its_reason(reason, wait_ms, lane, been, policy, turn):
    records = parked(reason, NOW_MS + wait_ms, lane, been, policy, turn)
    if reason is Reason.PROVIDER_DOWN and turn.falls_back and not turn.others:
        assert (records.event, records.reason) == (Event.REFUSED, reason)
    elif records.retry_ms is None:
        assert records.event in (Event.EXPIRED, Event.EXHAUSTED)
        if reason is not Reason.PACED:
            assert turn.others or deadline_ms(been, policy, turn) <= NOW_MS + PARK_MS_MIN, "it is tried to its end"
    else:
        assert records.event is Event.PARKED
        assert records.retry_ms < deadline_ms(been, policy, turn)
        assert (records.trail.failures, records.trail.parks) == (been.failures, been.parks + 1)
        if turn.others:
            assert records.retry_ms == NOW_MS
            return
        assert records.retry_ms >= NOW_MS + PARK_MS_MIN
        if reason is Reason.PACED:
            assert records.retry_ms >= NOW_MS + wait_ms
        else:
            most_ms = PARK_URGENT_MS_MAX if lane in (Lane.CRITICAL, Lane.HIGH) else PARK_MS_MAX
            assert records.retry_ms <= NOW_MS + most_ms


def test_a_delivery_that_waited_a_day_is_checked_less_often():
    day_ms = 86_400_000
    been = Trail(since_ms=NOW_MS - day_ms, parked_ms=NOW_MS - day_ms, parks=300)
    turn = Turn(NOW_MS, 0.99, "main")
    records = parked(Reason.PROVIDER_DOWN, NOW_MS, Lane.BULK, been, RetryPolicy((1_000,), 7 * day_ms), turn)
    assert PARK_MS_MAX < records.retry_ms - NOW_MS <= day_ms // PARK_GROWTH


@given(st.integers(1, 40), st.sampled_from(["retry", "assume_sent", "stop"]))
def test_losses_are_bounded(lost, on_ambiguous):
    following = after_loss(lost, on_ambiguous)
    if lost >= LOST_STARTS_MAX:
        assert (following.event, following.reason) == (Event.EXHAUSTED, Reason.POISON)
    else:
        expected = {"retry": Event.AMBIGUOUS, "assume_sent": Event.ACCEPTED, "stop": Event.EXHAUSTED}
        assert following.event == expected[on_ambiguous]


def account(name: str, priority: int, weight: int) -> Account:
    return Account("acme", name, Channel.SMS, "sandbox", priority, {}, {}, 1, AccountRules(weight=weight))


lists_of_accounts = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=6).map(
    lambda drawn: [account(f"a{n}", *one) for n, one in enumerate(sorted(drawn))]
)


@given(lists_of_accounts, st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)), jitters)
def test_accounts_are_tried_by_health_priority_and_weight_and_each_once(accounts, tried, demoted, chance):
    been = Trail(tried=tuple(f"a{n}" for n in sorted(tried)))
    down = {f"a{n}": True for n in demoted}
    order = in_order(accounts, been, down, chance)
    assert sorted(one.name for one in order) == sorted(one.name for one in accounts if one.name not in been.tried)
    ranks = [(down.get(one.name, False), one.rules.weight == 0, one.priority) for one in order]
    assert ranks == sorted(ranks)


@given(lists_of_accounts, jitters)
def test_an_ambiguous_attempt_stays_with_its_account(accounts, chance):
    for one in accounts:
        assert in_order(accounts, Trail(pinned=one.name), {}, chance) == [one]


def test_accounts_of_one_priority_share_by_weight():
    accounts = [account("heavy", 1, 3), account("light", 1, 1), account("spare", 1, 0)]
    first = Counter(in_order(accounts, None, {}, step / 1_000)[0].name for step in range(1_000))
    assert first == {"heavy": 750, "light": 250}


@given(st.binary(min_size=24, max_size=24))
def test_the_same_delivery_draws_the_same_chance(delivery_id):
    assert 0 <= chance_of(delivery_id) < 1
    assert chance_of(delivery_id) == chance_of(bytes(delivery_id))


@st.composite
def finishing_orders(draw):
    """Frames of a few deliveries each, and an order in which single deliveries finish, some of them never."""
    counts = draw(st.lists(st.integers(0, 4), max_size=12))
    units = [place for place, count in enumerate(counts) for _ in range(count)]
    return counts, draw(st.permutations(units))[: draw(st.integers(0, len(units)))]


@given(st.integers(0, 1_000), finishing_orders())
def test_a_commit_never_passes_an_unfinished_frame(committed, story):
    counts, order = story
    window = FrameWindow(Done(committed, {}))
    pending = [
        window.add(committed + 1 + place, count, mark=place, numbers={"one": place})
        for place, count in enumerate(counts)
    ]
    assert window.read == committed + len(counts)
    before = window.done
    for place in [None, *order]:
        if place is not None:
            pending[place].left -= 1
        moved = window.advance()
        now, numbers = window.done
        unfinished = [frame for frame in pending if frame.left]
        assert before.offset <= now, "a commit never goes back"
        assert moved == (before != window.done), "a commit that changes nothing is not made"
        assert now == (unfinished[0].offset - 1 if unfinished else committed + len(counts)), "it goes as far as it can"
        assert numbers == ({} if now == committed else {"one": now - committed - 1}), "numbers go with the offset"
        assert window.mark() == (unfinished[0].mark if unfinished else None), "recovery begins at the first unfinished"
        before = window.done
