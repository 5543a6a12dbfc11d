"""Expressions that take much time or memory, or crash the process: each is stopped in time."""

from resource import RUSAGE_SELF, getrusage
from time import thread_time

import pytest

from clarion.languages.cel.expressions import CelExpressions
from clarion.ports.expressions import ExpressionError

LIMIT_S = 0.25
MEMORY_KIB = 128 * 1024
NUMBERS = list(range(40_000))
"""As JSON nearly as much as the data of a request may be."""
OBJECTS = [{"id": number, "tags": ["a", "b"], "note": "x" * 60} for number in range(1_000)]
TEXT = "a" * 250_000
WIDE = {str(number): number for number in range(20_000)}


def nested(levels):
    inner = outermost = []
    for _ in range(levels):
        inner.append([])
        inner = inner[0]
    return outermost


ATTACKS = {
    "a list copied for each of its items": ("data.v.map(x, x + 1).size()", NUMBERS),
    "a filter over much": ("data.v.filter(x, x > 1).size()", NUMBERS),
    "large objects kept": ("data.v.filter(x, x.id >= 0).size()", OBJECTS),
    "keys of a wide map": ("data.v.map(k, k)", WIDE),
    "everything compared with everything": ("data.v.all(x, x in data.v)", NUMBERS),
    "a long body for each item": ("data.v.all(x, x < " + "+".join(["1"] * 400) + ")", NUMBERS),
    "signs without end for each item": ("data.v.exists(x, " + "!" * 800 + "(x < 0))", NUMBERS),
    "a large text for each item": ("data.v.map(x, data.t)", OBJECTS),
    "text on text": ("+".join(["data.v"] * 140), TEXT),
    "list on list": ("+".join(["data.v"] * 140), NUMBERS),
    "the same list again and again": ("[" + ",".join(["data.v"] * 140) + "]", NUMBERS),
    "comparisons in a row": ("&&".join(["data.v==data.v"] * 60), NUMBERS),
    "by index, so that no path shows it": ("+".join(['data["v"]'] * 90), NUMBERS),
    "a loop in a loop": ("data.v.all(x, data.v.all(y, x == y))", NUMBERS),
    "loops one after the other": ("data.v.all(x, x > 0) && data.v.all(x, x > 1)", NUMBERS),
    "a loop over what was joined": ("(data.v + data.v).map(x, x)", NUMBERS),
    "a loop over a loop": ("data.v.map(x, x).map(x, x)", NUMBERS),
    "a loop over a list written out": ("[data.v, data.v][0].map(x, x)", NUMBERS),
    "the macro's other name": ("data.v.existsOne(x, data.v.existsOne(y, x == y))", NUMBERS),
    "a macro with space in it": ("data.v . map ( x , data.v\n.map(y, y))", NUMBERS),
    "a macro behind a comment": ("data.v // '\n.map(x, data.v.map(y, y)) // '", NUMBERS),
    "a macro behind a raw text": (r"r'\'.size() + data.v.map(x, data.v.map(y, y)).size() + r'\'.size()", NUMBERS),
    "a macro behind a tripled quote": ("'''a'.size() + data.v.map(x, data.v.map(y, y)).size()'''", NUMBERS),
    "an expression that backtracks": ("data.v.matches('(a+)+$')", TEXT + "b"),
    "an expression that is large when compiled": (r"data.v.matches('\\p{L}{500}')", TEXT),
    "parentheses": ("(" * 499 + "1" + ")" * 499, 1),
    "lists in lists": ("[" * 499 + "]" * 499, 1),
    "maps in maps": ("{'a':" * 160 + "1" + "}" * 160, 1),
    "conditions in conditions": ("true?" * 150 + "1" + ":1" * 150, 1),
    "a path without end": ("data" + ".v" * 490, 1),
    "data deep enough for the stack": ("data.n == 1", nested(100_000)),
    "data deep enough for the stack, read": ("data.v", nested(5_000)),
    "more than a page of result": ("[data.v, data.v]", TEXT),
    "half of a pair of surrogates": ("'\ud800'", 1),
    "zero bytes": ("\x00" * 900, 1),
    "the inside of Python": ("data.__class__.__subclasses__()", 1),
    "Python's builtins": ("__import__('os').system('true')", 1),
    "a method of text": ("data.v.format(data)", "{0.__class__}"),
    "a type": ("google.protobuf.Any{type_url: 'x'}", 1),
    "an optional": ("optional.of(data)", 1),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_stopped_in_time(attack):
    text, value = ATTACKS[attack]
    values = {"data": {"v": value, "t": TEXT, "n": 1}}
    started_s = thread_time()
    with pytest.raises(ExpressionError):
        CelExpressions().compile(text)(values)
    assert thread_time() - started_s < LIMIT_S


HEAVIEST = [
    ("data.v.exists(x, x == -1)", list(range(20_000))),
    ("data.v.map(x, x * 2)", list(range(900))),
    ("data.v.filter(x, x.id >= 0)", OBJECTS[:300]),
    ("data.v.all(x, x.note != data.v[0].note)", OBJECTS[:100]),
    ("data.v + data.v + data.v", list(range(10_000))),
    ("size(data.v + data.v + data.v + data.v)", TEXT),
    ("data.v == data.v && data.v == data.v", NUMBERS),
]


@pytest.mark.parametrize(("text", "value"), HEAVIEST)
def test_the_most_that_is_let_through_ends_in_time_too(text, value):
    before_kib = getrusage(RUSAGE_SELF).ru_maxrss
    started_s = thread_time()
    CelExpressions().compile(text)({"data": {"v": value}})
    assert thread_time() - started_s < LIMIT_S
    assert getrusage(RUSAGE_SELF).ru_maxrss - before_kib < MEMORY_KIB
