"""No data reaches HTML unescaped, whatever a template does with it; and data is never read as a template."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from clarion.ports.renderer import RenderError
from tests.unit.languages.handlebars.rendering import RENDERER, context, render

HOSTILE = "<script>alert('x')</script>\"=`&{{x}}\ufdd00\ufdd1\0"
ESCAPED = re.compile(r"&(amp|lt|gt|quot|#x27|#x60|#x3D);")

hostile = st.text("<>&\"'`=a{}\ufdd0\ufdd1\ufdd2\ufdd30\0é", min_size=1, max_size=12) | st.just(HOSTILE)
paths = st.sampled_from(["x", "data.x", "m.k", "l.[0]", "user.name", "this.x", "@root.m.k", "../x", "@key"])
leaves = paths | st.just('"b"')


def calls(inner):
    one = st.tuples(st.sampled_from(["upcase", "downcase", "size", "not", "format_list"]), inner)
    two = st.tuples(st.sampled_from(["default", "eq", "and", "or", "lookup"]), inner, inner)
    return st.one_of(one, two).map(lambda call: "(" + " ".join(call) + ")")


expressions = st.recursive(leaves, calls, max_leaves=4)
outputs = expressions.map(lambda text: "{{" + text.removeprefix("(").removesuffix(")") + "}}").filter(
    lambda text: text != '{{"b"}}'
)


def blocks(inner):
    kinds = st.sampled_from(["each l", "each m", "with m", "if x", "unless n", "x", "l", "m", "each l as |x k|"])
    return st.tuples(kinds, inner).map(
        lambda block: "{{#" + block[0] + "}}" + block[1] + "{{/" + block[0].split()[0] + "}}"
    ) | st.tuples(inner, inner).map("".join)


sources = st.recursive(outputs | st.just(" b "), blocks, max_leaves=5)


@given(sources, hostile, hostile)
def test_no_data_reaches_html_unescaped(source, one, other):
    data = {"x": one, "m": {"k": other, one: other}, "l": [one, other], "n": None}
    try:
        text = RENDERER.compile(source, html=True)(context(data, user={"name": one}))
    except RenderError:
        return
    assert not set(text) & set("<>\"'`=\ufdd0\ufdd1\ufdd2\ufdd3\0")
    assert "&" not in ESCAPED.sub("", text)


def test_each_kind_of_output_is_escaped():
    data = {"x": HOSTILE, "l": [HOSTILE], "m": {HOSTILE: 1}}
    for source in (
        "{{x}}",
        "{{upcase x}}",
        "{{#each l}}{{this}}{{/each}}",
        "{{#each m}}{{@key}}{{/each}}",
        "{{format_list l}}",
    ):
        text = render(source, html=True, **data)
        assert not set(text) & set("<>\"'`=")
        assert unescape(text).lower().startswith("<script>")


def test_data_is_data():
    for source in ("{{x}}", "{{#if x}}{{x}}{{/if}}", "{{format_list l}}"):
        assert render(source, html=True, x="{{y}}{{7}}", l=["{{y}}{{7}}"], y="no") == "{{y}}{{7}}"
