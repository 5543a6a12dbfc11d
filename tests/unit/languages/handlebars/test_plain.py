"""The fast path and Handlebars are the same language: same text, same errors."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.languages.handlebars.plain import compile_plain
from clarion.languages.handlebars.sandbox import Sandboxes
from clarion.languages.handlebars.template import HandlebarsTemplate
from clarion.ports.renderer import RenderError
from tests.unit.languages.handlebars.rendering import RENDERER

SANDBOXES = Sandboxes()

words = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=8).filter(lambda s: not s[0].isdigit())
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["\0", "\ufdd0", "<a href='x'>", "\\u0000"]
)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | floats | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
literals = st.text("ab <>&\n{}\\'", max_size=12) | st.sampled_from(["<b>", "}}", "\r\n", "{", "\\", "{ {", "é"])
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
def test_the_fast_path_renders_what_handlebars_renders(case, html):
    source, context = case
    template = HandlebarsTemplate(source, SANDBOXES, html=html) if "\0" not in source else None
    plain = compile_plain(source, template.render, html=html) if template else None
    if plain is not None:
        assert outcome(plain, context) == outcome(template.render, context)


@pytest.mark.parametrize("source", ["", "text", "{{x}}", "a }} {{ data.x_1.y }} } b", "{{ user.first_name }}\n{{ z }}"])
def test_literals_and_variables_are_plain(source):
    assert compile_plain(source, str, html=False) is not None


@pytest.mark.parametrize(
    "source",
    ["{{upcase x}}", "{{#x}}{{/x}}", "{{~x}}", "{{this}}", "{{x.length}}", "\\{{x}}", "{{{x}}}", "{{else}}", "{{x}}}"],
)
def test_special_cases_of_handlebars_are_left_to_it(source):
    assert compile_plain(source, str, html=False) is None


def test_output_is_bounded_on_the_fast_path_too():
    render = RENDERER.compile("{{ x }}{{ x }}{{ x }}", html=False)
    assert len(render({"x": "a" * 100_000})) == 300_000
    with pytest.raises(RenderError, match="output limit"):
        render({"x": "a" * 200_000})
    with pytest.raises(RenderError, match="output limit"):
        render({"x": "é" * 100_000})
