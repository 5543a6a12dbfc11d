"""The rules of delivery by property: back-off, what follows an outcome, what follows a loss, and the commit window."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.deliver.rules.loss import after_loss
from clarion.deliver.rules.retry import Policy, after, backoff_ms
from clarion.deliver.rules.window import Window
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
from clarion.domain.limits import LOST_STARTS_MAX
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Misconfigured, Refused, Throttled, Transient
from tests.strategies import outcomes

NOW_MS = 1_700_000_000_000

policies = st.builds(
    Policy, attempts_max=st.integers(1, 20), base_ms=st.integers(1, 10_000), cap_ms=st.integers(1, 3_600_000)
)
jitters = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 2_000)
ambiguities = st.sampled_from(["retry", "assume_sent", "stop"])
expiries = st.none() | st.integers(NOW_MS - 10_000, NOW_MS + 10_000_000)


@given(attempts, policies, jitters)
def test_a_pause_lies_between_nothing_and_the_cap(attempt, policy, jitter):
    assert 0 <= backoff_ms(attempt, policy, jitter) <= policy.cap_ms


@given(policies, jitters)
def test_the_ceiling_of_the_pause_doubles(policy, jitter):
    for attempt in range(1, 12):
        assert backoff_ms(attempt, policy, jitter) <= policy.base_ms * 2 ** (attempt - 1)


@given(policies, st.integers(0, 5), jitters)
def test_a_replayed_delivery_gets_a_whole_round_again(policy, rounds, jitter):
    """However often it was given up: the attempts of the next round are as many and as far apart as those of the first."""
    first = rounds * policy.attempts_max + 1
    told = []
    for attempt in range(first, first + policy.attempts_max):
        values = {"now_ms": NOW_MS, "jitter": jitter, "expires_ms": None}
        told.append(after(Transient(), attempt, policy, on_ambiguous="retry", **values))
        assert backoff_ms(attempt, policy, jitter) == backoff_ms(attempt - first + 1, policy, jitter)
    assert [one.event for one in told] == [Event.RETRY] * (policy.attempts_max - 1) + [Event.EXHAUSTED]


@given(outcomes, attempts, policies, ambiguities, jitters, expiries)
def test_another_attempt_is_never_beyond_the_budget_the_expiry_or_a_stated_pause(
    outcome, attempt, policy, on_ambiguous, jitter, expires_ms
):
    following = after(
        outcome, attempt, policy, on_ambiguous=on_ambiguous, now_ms=NOW_MS, jitter=jitter, expires_ms=expires_ms
    )
    assert (following.retry_ms is not None) == (following.event in (Event.RETRY, Event.AMBIGUOUS))
    if following.retry_ms is not None:
        assert attempt % policy.attempts_max != 0
        assert expires_ms is None or following.retry_ms < expires_ms
        assert following.retry_ms >= NOW_MS + (getattr(outcome, "after_ms", None) or 0)
        assert not isinstance(outcome, Accepted | Refused | InvalidRecipient | Misconfigured)


@given(attempts, policies, jitters)
def test_each_outcome_has_one_meaning(attempt, policy, jitter):
    def following(outcome, on_ambiguous="retry"):
        values = {"now_ms": NOW_MS, "jitter": jitter, "expires_ms": None}
        told = after(outcome, attempt, policy, on_ambiguous=on_ambiguous, **values)
        return told.event, told.reason

    last = attempt % policy.attempts_max == 0
    exhausted = (Event.EXHAUSTED, Reason.ATTEMPTS_EXHAUSTED)
    assert following(Accepted()) == (Event.ACCEPTED, Reason.NONE)
    assert following(Transient()) == (exhausted if last else (Event.RETRY, Reason.NONE))
    assert following(Throttled(5)) == (exhausted if last else (Event.RETRY, Reason.NONE))
    assert following(Ambiguous()) == (exhausted if last else (Event.AMBIGUOUS, Reason.NONE))
    assert following(Ambiguous(), "assume_sent") == (Event.ACCEPTED, Reason.ASSUMED_SENT)
    assert following(Ambiguous(), "stop") == (Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)
    assert following(Refused("http_400")) == (Event.REFUSED, Reason.REFUSED)
    assert following(Refused("render_failed")) == (Event.REFUSED, Reason.RENDER_FAILED)
    assert following(Refused("egress_blocked")) == (Event.REFUSED, Reason.EGRESS_BLOCKED)
    assert following(InvalidRecipient()) == (Event.REFUSED, Reason.INVALID_RECIPIENT)
    assert following(Misconfigured()) == (Event.EXHAUSTED, Reason.MISCONFIGURED)


@given(attempts, policies, ambiguities)
def test_losses_are_bounded(attempt, policy, on_ambiguous):
    following = after_loss(attempt, policy, on_ambiguous)
    if attempt % (policy.attempts_max + LOST_STARTS_MAX) == 0:
        assert following.event == Event.EXHAUSTED
        assert following.reason == Reason.POISON
    else:
        expected = {"retry": Event.AMBIGUOUS, "assume_sent": Event.ACCEPTED, "stop": Event.EXHAUSTED}
        assert following.event == expected[on_ambiguous]


@st.composite
def finishing_orders(draw):
    """Frames of a few deliveries each, and an order in which single deliveries finish, some of them never."""
    counts = draw(st.lists(st.integers(0, 4), max_size=12))
    units = [place for place, count in enumerate(counts) for _ in range(count)]
    return counts, draw(st.permutations(units))[: draw(st.integers(0, len(units)))]


@given(st.integers(0, 1_000), finishing_orders())
def test_a_commit_never_passes_an_unfinished_frame(committed, story):
    counts, order = story
    window = Window(committed)
    pending = [window.add(committed + 1 + place, count, mark=place) for place, count in enumerate(counts)]
    assert window.read == committed + len(counts)
    before = committed
    for place in [None, *order]:
        if place is not None:
            pending[place].left -= 1
        now = window.advance()
        unfinished = [frame for frame in pending if frame.left]
        assert before <= now, "a commit never goes back"
        assert now == (unfinished[0].offset - 1 if unfinished else committed + len(counts)), "it goes as far as it can"
        assert window.mark() == (unfinished[0].mark if unfinished else None), "recovery begins at the first unfinished"
        before = now
