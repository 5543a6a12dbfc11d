"""What a rule makes of an event, with the real expression language: nobody is missed, nobody is made up, each no says why."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.accept.rules.events import Event, Value, judge
from clarion.backends.cel.expressions import CelExpressions
from clarion.domain.event_rule import EXPRESSION_NAMES, EventRule, Notify
from clarion.domain.limits import RECIPIENTS_MAX
from clarion.ports.expressions import ExpressionError

AT = datetime(2026, 11, 21, 22, 5, tzinfo=UTC)
CEL = CelExpressions()


def ask(text, names):
    try:
        return Value(CEL.compile(text, EXPRESSION_NAMES)(names))
    except ExpressionError as error:
        return Value(fault=str(error))


def verdict(*notify, data=None, if_=None, enabled=True, user_id=None):
    event = Event("ride.completed", user_id, AT, data or {})
    return judge(EventRule("ride.completed", notify, if_, enabled), event, ask)


def to(expression, **more):
    return Notify(expression, template="note", **more)


def test_each_entry_makes_one_notification_with_the_events_data_under_its_own():
    data = {"rider_id": "ria", "driver_ids": ["dan", "dee", "dan"], "fare": 12}
    made = verdict(
        to("data.rider_id", data={"text": "'You paid ' + string(data.fare)", "at": "event.occurred_at"}),
        to("data.driver_ids"),
        data=data,
    )
    assert made.skipped == []
    assert [(one.entry, one.to) for one in made.wanted] == [(0, ("ria",)), (1, ("dan", "dee"))]
    assert made.wanted[0].data == {**data, "text": "You paid 12", "at": "2026-11-21T22:05:00Z"}
    assert made.wanted[1].data == data


@pytest.mark.parametrize(
    ("condition", "reason", "detail"),
    [
        ("data.fare > 20", "condition_false", ""),
        ("data.gone > 20", "expression_failed", "if: "),
        ("data.fare", "expression_failed", "if: gives neither true nor false"),
    ],
)
def test_a_condition_that_does_not_hold_says_so_of_the_rule_or_of_the_entry(condition, reason, detail):
    whole = verdict(to("data.id"), data={"fare": 12, "id": "ria"}, if_=condition)
    one = verdict(to("data.id", if_=condition), to("data.id"), data={"fare": 12, "id": "ria"})
    assert whole.wanted == []
    assert [w.entry for w in one.wanted] == [1]
    for entry, (skip,) in ((None, whole.skipped), (0, one.skipped)):
        assert (skip.entry, skip.reason) == (entry, reason)
        assert skip.detail.startswith(detail)


@pytest.mark.parametrize(
    ("recipient", "found", "reasons"),
    [
        ("", (), ["no_recipient"]),
        (None, (), ["no_recipient"]),
        ([], (), ["no_recipient"]),
        (7, (), ["bad_recipient"]),
        ({"id": "ria"}, (), ["bad_recipient"]),
        (["ria", None, 7, "ria"], ("ria",), ["no_recipient", "bad_recipient"]),
        ([f"u{n}" for n in range(RECIPIENTS_MAX + 1)], (), ["bad_recipient"]),
        ("ria", ("ria",), []),
    ],
)
def test_what_is_no_recipient_is_reported_and_the_others_stay(recipient, found, reasons):
    made = verdict(to("data.who"), data={"who": recipient})
    assert [one.to for one in made.wanted] == ([found] if found else [])
    assert [skip.reason for skip in made.skipped] == reasons


def test_a_recipient_that_is_not_there_is_reported_with_the_expressions_own_words():
    made = verdict(to("data.who"))
    assert made.wanted == []
    assert [(skip.entry, skip.reason) for skip in made.skipped] == [(0, "no_recipient")]
    assert "who" in made.skipped[0].detail


def test_data_without_a_value_takes_its_entry_out_and_no_other():
    made = verdict(to("'ria'", data={"a": "1", "b": "data.gone"}), to("'dan'", data={"a": "1"}))
    assert [(one.entry, one.data) for one in made.wanted] == [(1, {"a": 1})]
    assert (made.skipped[0].entry, made.skipped[0].reason) == (0, "expression_failed")
    assert made.skipped[0].detail.startswith("data.b: ")


def test_a_rule_that_is_switched_off_makes_nothing():
    made = verdict(to("'ria'"), enabled=False)
    assert (made.wanted, [(skip.entry, skip.reason) for skip in made.skipped]) == ([], [(None, "disabled")])


IDS = st.sampled_from(["ria", "dan", "", None, 3])
GIVEN = st.one_of(IDS, st.lists(IDS, max_size=5))


@given(st.lists(st.tuples(GIVEN, st.sampled_from(["true", "false", "data.x", None])), max_size=6))
def test_every_entry_comes_to_a_notification_or_to_a_reason(entries):
    data = {f"k{n}": who for n, (who, _) in enumerate(entries)}
    made = verdict(*(to(f"data.k{n}", if_=condition) for n, (_, condition) in enumerate(entries)), data=data)
    told = {one.entry for one in made.wanted} | {skip.entry for skip in made.skipped}
    assert told == set(range(len(entries)))
    for one in made.wanted:
        who, condition = entries[one.entry]
        assert condition in ("true", None)
        assert set(one.to) == {each for each in (who if isinstance(who, list) else [who]) if each in ("ria", "dan")}
