"""How pages of users become the columns of chunks."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.domain.limits_processes import CHUNK_DELIVERIES_MAX
from clarion.plan.rules.chunks import ABLE, Code, Columns, addressed_columns, shared_columns, unreached

SKIP = Code(State.SKIPPED, Reason.OPTED_OUT)
HOLD = Code(State.HELD, Reason.QUIET_HOURS, 1_000)
CAPPED = Code(State.SKIPPED, Reason.CAPPED)

rows = st.lists(
    st.tuples(
        st.integers(1, 5), st.sampled_from(["en", "de"]), st.lists(st.sampled_from("pqr"), max_size=3, unique=True)
    ),
    max_size=40,
).map(lambda given_: [(n, f"u{n}", profile, locale, to) for n, (profile, locale, to) in enumerate(given_)])
own = st.dictionaries(st.integers(0, 39), st.just(CAPPED), max_size=10)


def codes(now: State):
    return st.fixed_dictionaries({n: st.sampled_from([Code(now), SKIP, HOLD]) for n in range(1, 6)})


def parallel(part: Columns) -> bool:
    sizes = {len(part.ordinals), len(part.user_ids), len(part.states), len(part.reasons), len(part.rows)}
    return len(sizes) == 1 and len(part.addresses) in (0, len(part.rows))


@given(rows, codes(State.PLANNED), own, st.sets(st.sampled_from("pqr")))
def test_columns_hold_every_user_and_address_once(page, shared, alone, bad):
    columns = addressed_columns(page, shared, alone, [row[4] for row in page], dict.fromkeys(bad, "bounced"))
    result = defaultdict(list)
    for (locale, until_ms), part in columns.items():
        assert parallel(part)
        for ordinal, to, state, reason in zip(part.ordinals, part.addresses, part.states, part.reasons, strict=True):
            assert page[ordinal][3] == locale
            assert state != State.HELD or until_ms == HOLD.until_ms
            result[ordinal].append((to, state, reason))
    for ordinal, _, profile, _, addresses in page:
        code = alone.get(ordinal, shared[profile])
        if code.state == State.SKIPPED:
            assert result[ordinal] == [("", State.SKIPPED, code.reason)]
        elif not addresses:
            assert result[ordinal] == [("", State.SKIPPED, Reason.NO_CONTACT)]
        else:
            fate = {True: (State.SKIPPED, Reason.SUPPRESSED), False: (code.state, code.reason)}
            assert result[ordinal] == [(to, *fate[to in bad]) for to in addresses]
    served = {ordinal for ordinal, rows_ in result.items() if any(state in ABLE for _, state, _ in rows_)}
    assert {row[0] for row in unreached(page, columns)} == {row[0] for row in page} - served


@given(rows, codes(State.SENT), own)
def test_shared_columns_hold_every_user_once(page, shared, alone):
    columns = shared_columns(page, shared, alone)
    assert sorted(ordinal for part in columns.values() for ordinal in part.ordinals) == [row[0] for row in page]
    for (locale, until_ms), part in columns.items():
        assert parallel(part)
        for row, state, reason in zip(part.rows, part.states, part.reasons, strict=True):
            assert Code(state, reason, until_ms) == alone.get(row[0], shared[row[2]])
            assert row[3] == locale


@given(st.integers(0, 3 * CHUNK_DELIVERIES_MAX + 5))
def test_a_cut_loses_and_doubles_nothing(size):
    numbers = list(range(size))
    states = bytearray(n % 251 for n in numbers)
    whole = Columns(numbers, [str(n) for n in numbers], states, states, [], [(n,) for n in numbers])
    parts = list(whole.cut())
    assert all(parallel(part) and 0 < len(part.ordinals) <= CHUNK_DELIVERIES_MAX for part in parts)
    assert [n for part in parts for n in part.ordinals] == numbers
    assert b"".join(part.states for part in parts) == states
