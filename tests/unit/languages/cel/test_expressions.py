"""Expressions over plain values, unusual ones included, and the errors of those that have no value."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.limits import EXPRESSION_CHARS_MAX
from clarion.languages.cel.expressions import CelExpressions
from clarion.ports.expressions import ExpressionError

EXPRESSIONS = CelExpressions()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALUES = {
    "data": {
        "n": 3, "half": 0.5, "name": "Zoë 😀", "none": None, "big": 2**63 - 1, "deep": {"a": {"b": [1, {"c": True}]}},
        "items": [{"kind": "a", "price": 5}, {"kind": "b", "price": 15}, {"kind": "b"}], "odd key": 1, "": 2,
    },
    "user": {"plan": "pro", "zone": "Asia/Kolkata"},
    "steps": {"push": {"sent_at": NOON, "seen": False}},
}  # fmt: skip


def value(text, values=VALUES):
    return EXPRESSIONS.compile(text)(values)


def problem(text, values=VALUES):
    with pytest.raises(ExpressionError) as refused:
        value(text, values)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.n > 2 && user.plan == 'pro'", True),
        ("data.n + 1", 4),
        ("data.half * 2.0", 1.0),
        ("data.n == 3.0", True),
        ("data.name", "Zoë 😀"),
        ("data.name + '!'", "Zoë 😀!"),
        ("data.name == 'Zoë 😀'", True),
        ("data.none", None),
        ("data.none == null", True),
        ("data.big", 2**63 - 1),
        ("data.deep", {"a": {"b": [1, {"c": True}]}}),
        ("data.deep.a.b[1].c", True),
        ('data["odd key"] + data[""]', 3),
        ("has(data.nope)", False),
        ("has(data.nope) ? data.nope : 'none'", "none"),
        ("data.nope == 1 || true", True),
        ("user.plan in ['pro', 'team']", True),
        ("'kind' in data.items[0]", True),
        ("size(data.items)", 3),
        ("data.items.exists(i, i.kind == 'b')", True),
        ("data.items.all(i, has(i.price))", False),
        ("data.items.exists_one(i, i.kind == 'a')", True),
        ("data.items.map(i, i.kind)", ["a", "b", "b"]),
        ("data.items.filter(i, has(i.price) && i.price > data.n * 4)", [{"kind": "b", "price": 15}]),
        ("size(data.items.filter(i, i.kind == 'b')) == 2 && data.n == 3", True),
        ("user.zone.startsWith('Asia/') && user.zone.endsWith('Kolkata') && user.zone.contains('/')", True),
        ("int('7') + 0x10", 23),
        ("string(1.5)", "1.5"),
        ("steps.push.sent_at + duration('36h')", NOON + timedelta(hours=36)),
        ("timestamp('2026-03-01T12:00:00Z') == steps.push.sent_at", True),
        ("steps.push.sent_at.getHours()", 12),
        ("{'a': [1, {'b': data.n}]}", {"a": [1, {"b": 3}]}),
        ('"tab\\tquote\\" 1+1 .map(" + \'"\'', 'tab\tquote" 1+1 .map("'),
        ("-(-9223372036854775807)", 2**63 - 1),
    ],
)
def test_values_of_expressions(text, expected):
    given_value = value(text)
    assert given_value == expected and type(given_value) is type(expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "column 1: mismatched input '<EOF>'"),
        ("1 +", "column 4: mismatched input '<EOF>'"),
        ("data.n ==\n  == 1", "line 2, column 3: extraneous input '=='"),
        ("x = 1", "column 3: '=' is not understood here"),
        ("a" * (EXPRESSION_CHARS_MAX + 1), f"is longer than {EXPRESSION_CHARS_MAX} characters"),
        ("shout(data.name)", "there is no function 'shout'"),
        ("__import__('os')", "there is no function '__import__'"),
        ("data.name.matches('Z.*')", "there is no function 'matches'"),
        ("data.nope", "there is no 'nope'"),
        ("nobody.name", "Undefined variable or function: 'nobody'"),
        ("data.name > 1", "No such overload: the operation is not defined for the given operand types"),
        ("data.n / 0", "division by zero in CEL expression"),
        ("data.big + 1", "Arithmetic overflow in 'add' on 9223372036854775807 and 1."),
        ("data.items[9]", "index out of bounds: 9"),
        ("timestamp('noon')", "Function 'timestamp' error: premature end of input"),
        ("duration('1h')", "gives neither plain data nor an instant"),
        ("{1: 2}", "gives neither plain data nor an instant"),
        ("1.0 / 0.0", "gives neither plain data nor an instant"),
        ("[[0.0 / 0.0]]", "gives neither plain data nor an instant"),
        ("timestamp('0000-01-01T00:00:00Z')", "reads or gives a value that expressions cannot hold"),
    ],
)
def test_errors_of_expressions_without_a_value(text, says):
    assert problem(text) == says


@pytest.mark.parametrize("odd", [10**400, object(), {1, 2}, {None: 1}, {(1,): 1}])
def test_a_value_that_is_not_plain_is_refused_and_not_shown(odd):
    said = problem("data.v == 1", {"data": {"v": odd, "secret": "hunter2"}})
    assert said in {
        "reads a value that is not plain data",
        "reads or gives a value that expressions cannot hold",
        "No such overload: the operation is not defined for the given operand types",
    }


def test_only_the_names_there_are():
    assert EXPRESSIONS.compile("data.items.all(i, i.price > event.n)", ("data", "event"))
    with pytest.raises(ExpressionError, match="there is no 'dta', only data, user"):
        EXPRESSIONS.compile("dta.items.all(i, i.price > user.n)", ("data", "user"))
    with pytest.raises(ExpressionError, match="there is no 'i', only data"):
        EXPRESSIONS.compile("data.items.all(i, i.open) && i.open", ("data",))


def test_a_compiled_expression_works_on_any_thread():
    evaluate, found = EXPRESSIONS.compile("data.n"), []
    thread = threading.Thread(target=lambda: found.append(evaluate(VALUES)))
    thread.start()
    thread.join()
    assert found == [3]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_plain_data_goes_through_unchanged(plain):
    assert value("data.v", {"data": {"v": plain}}) == plain
    assert value("data.v == data.v", {"data": {"v": plain}})
    assert value("[data.v].size()", {"data": {"v": plain}}) == 1


PIECES = """
data data.l data.s x 1 2.5 1u 'b' "a" true null + - * / % == != < in && || ? : ( ) [ ] { } , . .map( .filter( .all( x,
.exists( has( size( timestamp( duration( '1h' int( string( uint( .contains( .getHours( ! .size() //
"""
pieces = st.sampled_from(PIECES.split())


@given(st.lists(pieces, min_size=1, max_size=40).map(" ".join) | st.text(max_size=60))
def test_any_text_has_a_value_or_a_reason(text):
    try:
        found = value(text, {"data": {"l": [1, {"a": [2]}], "s": "abc"}})
    except ExpressionError as error:
        assert str(error)
    else:
        assert found is None or isinstance(found, bool | int | float | str | list | dict | datetime)
