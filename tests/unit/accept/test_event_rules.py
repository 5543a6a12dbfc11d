"""Evaluation of rules with the real expression language: no recipient is missing or invented, each skip has a reason."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.accept.rules.events import Event, Value, evaluate_rule
from clarion.domain.event_rule import EXPRESSION_NAMES, EventRule, Notify
from clarion.domain.limits import RECIPIENTS_MAX
from clarion.languages.cel.expressions import CelExpressions
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
    return evaluate_rule(EventRule("ride.completed", notify, if_, enabled), event, ask)


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
def test_a_false_condition_is_reported_for_the_rule_or_the_entry(condition, reason, detail):
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
def test_an_invalid_recipient_is_reported_and_the_others_stay(recipient, found, reasons):
    made = verdict(to("data.who"), data={"who": recipient})
    assert [one.to for one in made.wanted] == ([found] if found else [])
    assert [skip.reason for skip in made.skipped] == reasons


def test_a_missing_recipient_is_reported_with_the_expressions_error():
    made = verdict(to("data.who"))
    assert made.wanted == []
    assert [(skip.entry, skip.reason) for skip in made.skipped] == [(0, "no_recipient")]
    assert "who" in made.skipped[0].detail


def test_data_without_a_value_drops_only_its_entry():
    made = verdict(to("'ria'", data={"a": "1", "b": "data.gone"}), to("'dan'", data={"a": "1"}))
    assert [(one.entry, one.data) for one in made.wanted] == [(1, {"a": 1})]
    assert (made.skipped[0].entry, made.skipped[0].reason) == (0, "expression_failed")
    assert made.skipped[0].detail.startswith("data.b: ")


def test_a_disabled_rule_makes_nothing():
    made = verdict(to("'ria'"), enabled=False)
    assert (made.wanted, [(skip.entry, skip.reason) for skip in made.skipped]) == ([], [(None, "disabled")])


IDS = st.sampled_from(["ria", "dan", "", None, 3])
GIVEN = st.one_of(IDS, st.lists(IDS, max_size=5))


@given(st.lists(st.tuples(GIVEN, st.sampled_from(["true", "false", "data.x", None])), max_size=6))
def test_every_entry_results_in_a_notification_or_a_reason(entries):
    data = {f"k{n}": who for n, (who, _) in enumerate(entries)}
    made = verdict(*(to(f"data.k{n}", if_=condition) for n, (_, condition) in enumerate(entries)), data=data)
    result = {one.entry for one in made.wanted} | {skip.entry for skip in made.skipped}
    assert result == set(range(len(entries)))
    for one in made.wanted:
        who, condition = entries[one.entry]
        assert condition in ("true", None)
        assert set(one.to) == {each for each in (who if isinstance(who, list) else [who]) if each in ("ria", "dan")}
