"""The rules of planning: who may be sent to, whose turn it is, and how pages become chunks."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import CHANNELS
from clarion.domain.content import Category, Template
from clarion.domain.decision import Reason, Send, Skip
from clarion.domain.delivery_state import State
from clarion.domain.limits import CHUNK_DELIVERIES_MAX
from clarion.domain.user import Device, User
from clarion.plan.rules.chunks import Columns, addressed_columns, inapp_columns
from clarion.plan.rules.decide import Setting, decide, gate
from clarion.plan.rules.fairness import DeficitRoundRobin

categories = st.sampled_from(["news", "security", "*"])
columns = st.sampled_from(["email", "sms", "*"])
matrices = st.dictionaries(categories, st.dictionaries(columns, st.booleans(), max_size=3), max_size=3)
defaults = st.dictionaries(columns, st.booleans(), max_size=3)


settings = st.builds(
    Setting,
    template=st.builds(
        Template,
        key=st.just("t"),
        version=st.just(1),
        category=st.none(),
        parts=st.dictionaries(st.sampled_from(CHANNELS), st.just({"body": "x"}), min_size=1),
    ),
    category=st.builds(Category, key=st.sampled_from(["news", "security"]), critical=st.booleans(), defaults=defaults),
    channels=st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True).map(tuple),
    sendable=st.frozensets(st.sampled_from(CHANNELS)),
    defaults=matrices,
)
contacts = st.none() | st.sampled_from(["one", "two"])
users = st.builds(
    User,
    user_id=st.sampled_from(["", "ana"]),
    ordinal=st.just(1),
    profile_id=st.just(1),
    email=contacts,
    phone=contacts,
    whatsapp=contacts,
    chat=contacts,
    webhook=contacts,
    devices=st.lists(
        st.builds(Device, st.sampled_from("ab"), st.sampled_from(["push", "webpush"]), st.sampled_from(["t1", "t2"]))
    ).map(tuple),
)
suppressions = st.dictionaries(
    st.tuples(st.sampled_from(CHANNELS), st.sampled_from(["one", "two", "t1", "t2"])), st.just("bounced"), max_size=6
)


def sends(planned):
    return {(one.channel, one.address) for one in planned if isinstance(one.decision, Send)}


@given(settings, matrices, users, suppressions)
def test_every_channel_gets_a_decision_and_no_address_two(setting, preferences, user, suppressed):
    planned = decide(user, gate(setting, preferences), suppressed)
    assert {one.channel for one in planned} == set(setting.channels)
    assert len({(one.channel, one.address) for one in planned}) == len(planned)
    for one in planned:
        if isinstance(one.decision, Send):
            assert one.decision.address == one.address
            assert one.channel in setting.sendable
            assert one.channel in setting.template.parts
            assert (one.channel, one.address) not in suppressed
        else:
            assert one.decision.reason != Reason.NONE


@given(settings, matrices, users, suppressions, st.data())
def test_one_more_denial_never_adds_a_send(setting, preferences, user, suppressed, data):
    before = sends(decide(user, gate(setting, preferences), suppressed))
    channel = data.draw(st.sampled_from(CHANNELS))
    address = data.draw(st.sampled_from(["one", "two", "t1", "t2"]))
    key = data.draw(st.sampled_from([setting.category.key, "*"]))
    denied = {**preferences, key: {**preferences.get(key, {}), data.draw(st.sampled_from([channel, "*"])): False}}
    unsendable = Setting(
        setting.template, setting.category, setting.channels, setting.sendable - {channel}, setting.defaults
    )
    worse = [
        sends(decide(user, gate(setting, preferences), {**suppressed, (channel, address): "complained"})),
        sends(decide(user, gate(unsendable, preferences), suppressed)),
        sends(decide(user, gate(setting, denied), suppressed)),
    ]
    assert all(after <= before for after in worse)


@given(settings, matrices)
def test_a_critical_category_cannot_be_opted_out_of(setting, preferences):
    verdicts = gate(setting, preferences)
    if setting.category.critical:
        assert all(skip is None or skip.reason != Reason.OPTED_OUT for skip in verdicts.values())


QUANTUM = 100
COST_MAX = 350


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(1, COST_MAX)), min_size=40, max_size=160))
def test_tenants_with_work_are_served_alike(arrivals):
    """Between any two tenants that always have work, the service differs by a constant, whatever the others do."""
    turns = DeficitRoundRobin(QUANTUM)
    served = Counter({"x": 0, "y": 0})
    for other, cost in arrivals:
        active = {"x", "y", other} - {""}
        turns.sync(active)
        tenant = turns.next(active)
        paid = COST_MAX if tenant == "x" else cost
        turns.pay(tenant, paid)
        served[tenant] += paid
        assert abs(served["x"] - served["y"]) <= 2 * QUANTUM + COST_MAX


def test_nobody_saves_up_while_idle():
    turns = DeficitRoundRobin(QUANTUM)
    for _ in range(50):
        turns.sync({"busy"})
        turns.pay(turns.next({"busy"}), 10)
    turns.sync({"busy", "late"})
    seen = []
    for _ in range(20):
        seen.append(turns.next({"busy", "late"}))
        turns.pay(seen[-1], QUANTUM)
    assert abs(seen.count("busy") - seen.count("late")) <= 1
    turns.sync(())
    assert turns.next({"busy"}) is None


def test_who_is_held_back_keeps_place_and_credit_and_holds_up_nobody():
    turns = DeficitRoundRobin(QUANTUM)
    turns.sync({"held", "free"})
    for _ in range(10):
        assert turns.next({"free"}) == "free"
        turns.pay("free", QUANTUM)
    assert turns.next(()) is None
    seen = []
    for _ in range(20):
        seen.append(turns.next({"held", "free"}))
        turns.pay(seen[-1], QUANTUM)
    assert abs(seen.count("held") - seen.count("free")) <= 2


rows = st.lists(
    st.tuples(
        st.integers(1, 5), st.sampled_from(["en", "de"]), st.lists(st.sampled_from("pqr"), max_size=3, unique=True)
    ),
    max_size=40,
).map(lambda given_: [(n, f"u{n}", profile, locale, to) for n, (profile, locale, to) in enumerate(given_)])
verdicts = st.fixed_dictionaries({n: st.none() | st.just(Skip(Reason.OPTED_OUT, "x")) for n in range(1, 6)})


def parallel(part: Columns) -> bool:
    sizes = {len(part.ordinals), len(part.user_ids), len(part.states), len(part.reasons), len(part.rows)}
    return len(sizes) == 1 and len(part.addresses) in (0, len(part.rows))


@given(rows, verdicts, st.sets(st.sampled_from("pqr")))
def test_columns_hold_every_user_and_address_once(page, skips, bad):
    by_locale = addressed_columns(page, skips, lambda row: row[4], dict.fromkeys(bad, "bounced"))
    told = defaultdict(list)
    for locale, part in by_locale.items():
        assert parallel(part)
        for ordinal, to, state, reason in zip(part.ordinals, part.addresses, part.states, part.reasons, strict=True):
            assert page[ordinal][3] == locale
            told[ordinal].append((to, state, reason))
    for ordinal, _, profile, _, addresses in page:
        if skips[profile] is not None:
            assert told[ordinal] == [("", State.SKIPPED, Reason.OPTED_OUT)]
        elif not addresses:
            assert told[ordinal] == [("", State.SKIPPED, Reason.NO_CONTACT)]
        else:
            fate = {True: (State.SKIPPED, Reason.SUPPRESSED), False: (State.PLANNED, 0)}
            assert told[ordinal] == [(to, *fate[to in bad]) for to in addresses]


@given(rows, verdicts)
def test_in_app_columns_hold_every_user_once(page, skips):
    by_locale = inapp_columns(page, skips)
    assert sorted(ordinal for part in by_locale.values() for ordinal in part.ordinals) == [row[0] for row in page]
    for part in by_locale.values():
        assert parallel(part)
        for row, state, reason in zip(part.rows, part.states, part.reasons, strict=True):
            expected = (State.SENT, 0) if skips[row[2]] is None else (State.SKIPPED, Reason.OPTED_OUT)
            assert (state, reason) == expected


@given(st.integers(0, 3 * CHUNK_DELIVERIES_MAX + 5))
def test_a_cut_loses_and_doubles_nothing(size):
    numbers = list(range(size))
    states = bytearray(n % 251 for n in numbers)
    whole = Columns(numbers, [str(n) for n in numbers], states, states, [], [(n,) for n in numbers])
    parts = list(whole.cut())
    assert all(parallel(part) and 0 < len(part.ordinals) <= CHUNK_DELIVERIES_MAX for part in parts)
    assert [n for part in parts for n in part.ordinals] == numbers
    assert b"".join(part.states for part in parts) == states
