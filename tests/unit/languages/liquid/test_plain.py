"""The fast path and Liquid are the same language: same text, same errors."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.languages.liquid.engine import LiquidRenderer
from clarion.languages.liquid.plain import compile_plain
from clarion.ports.renderer import RenderError

RENDERER = LiquidRenderer()

words = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=8).filter(lambda s: not s[0].isdigit())
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=30)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
literals = st.text(max_size=20) | st.sampled_from(["<b>", "}}", "\r\n", "{", "%}", "{ {", " - "])
blanks = st.sampled_from(["", " ", "  ", "\n"])


@st.composite
def sources(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    data = draw(st.dictionaries(words, values, min_size=1, max_size=4))
    names = draw(st.lists(st.sampled_from(sorted(data)) | words, max_size=5))
    source = draw(literals)
    for name in names:
        path = draw(st.sampled_from([name, f"data.{name}", f"{name}.{draw(words)}", f"user.{name}"]))
        source += "{{" + draw(blanks) + path + draw(blanks) + "}}" + draw(literals)
    return source, {**data, "data": data, "user": {"first_name": "Ada", "attributes": data}}


def outcome(render, context):
    try:
        return render(context)
    except RenderError as error:
        return RenderError, str(error)


@given(sources(), st.booleans())
def test_the_fast_path_renders_what_liquid_renders(case, html):
    source, context = case
    plain = compile_plain(source, html=html)
    if plain is not None:
        liquid = RENDERER._compile_liquid(source, html=html)
        assert outcome(plain, context) == outcome(liquid, context)


@pytest.mark.parametrize("source", ["", "text", "{{x}}", "a }} {{ data.x_1.y }} { b", "{{ user.first_name }}\n{{ z }}"])
def test_literals_and_variables_are_plain(source):
    assert compile_plain(source, html=False) is not None


@pytest.mark.parametrize(
    "source", ["{{ x | upcase }}", "{% if x %}{% endif %}", "{{- x }}", "{{ true }}", "{{ x.size }}"]
)
def test_special_cases_of_liquid_are_left_to_it(source):
    assert compile_plain(source, html=False) is None


def test_html_parts_are_escaped_and_others_are_not():
    context = {"name": '<i>O\'Hara & "sons"</i>'}
    assert RENDERER.compile("<b>{{ name }}</b>", html=True)(context) == (
        "<b>&lt;i&gt;O&#39;Hara &amp; &#34;sons&#34;&lt;/i&gt;</b>"
    )
    assert RENDERER.compile("<b>{{ name }}</b>", html=False)(context) == '<b><i>O\'Hara & "sons"</i></b>'


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (1.50, "1.5"), (True, "true"), (None, ""), ([1, "a"], "1a"), (10**30, "1" + "0" * 30)]
)
def test_values_are_written_as_liquid_writes_them(value, text):
    assert RENDERER.compile("{{ x }}", html=False)({"x": value}) == text


def test_a_missing_variable_is_an_error_that_names_it_and_its_line():
    render = RENDERER.compile("Hello\n{{ data.order.id }}", html=False)
    with pytest.raises(RenderError, match=r"^data\.order is undefined \(line 2\)$"):
        render({"data": {}})


def test_output_is_bounded_on_the_fast_path_too():
    render = RENDERER.compile("{{ x }}{{ x }}{{ x }}", html=False)
    assert len(render({"x": "a" * 100_000})) == 300_000
    with pytest.raises(RenderError, match="output stream limit"):
        render({"x": "a" * 200_000})
