"""Texts rendered without python-liquid equal those of python-liquid, errors included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.app.cli.template_files.definitions import partials_of
from clarion.app.cli.template_files.disk import shipped
from clarion.content.build import build
from clarion.domain.channel import Channel
from clarion.domain.limits_content import RENDER_OUTPUT_BYTES_MAX, STRAIGHT_PIECES_MAX
from clarion.languages.liquid.branching import compile_branching
from clarion.languages.liquid.engine import LiquidRenderer
from clarion.ports.drafting import BuildJob
from clarion.ports.renderer import Render, RenderError

LIQUID = LiquidRenderer()
SPEECH = {"_locale": "de-AT", "_zone": "Europe/Vienna", "_at_ms": 1_790_000_000_000}

paths = st.sampled_from(
    ["a", "a.b", "a.b.c", "list", "list.size", "list.first", "list.first.b", "n", "missing", "day", "a.size"]
)
texts = st.sampled_from(["", "x ", "It is ", "%", "{ ", "\n", "ä"])
filters = st.sampled_from(
    ["", " | money: 'EUR'", " | money: cur", " | format_number", " | format_percent", " | format_date: 'long'", "| format_date",
     " | format_time: 'short'", " | format_datetime: \"medium\"", " | format_list: 'and'", " | relative_time", " | upcase"]
)  # fmt: skip
outputs = st.tuples(paths, filters).map(lambda both: f"{{{{ {both[0]}{both[1]} }}}}")
tests = paths | paths.map(lambda path: f"{path} == 'x'") | paths.map(lambda path: f'{path} == "one"')
flat = st.lists(texts | outputs, max_size=3).map("".join)
choices = st.tuples(tests, flat, tests, flat, flat).map(
    lambda it: f"{{% if {it[0]} %}}{it[1]}{{% elsif {it[2]} %}}{it[3]}{{% else %}}{it[4]}{{% endif %}}"
)
guards = st.tuples(tests, flat).map(lambda it: f"{{% if {it[0]} %}}{it[1]}{{% endif %}}")
plurals = st.tuples(paths, flat, flat).map(
    lambda it: (
        f"{{% assign _p = {it[0]} | plural: 'de' %}}{{% if _p == 'one' %}}{it[1]}{{% else %}}{it[2]}{{% endif %}}"
    )
)
sources = st.lists(texts | outputs | choices | guards | plurals, min_size=1, max_size=5).map("".join)

scalars = (
    st.none() | st.booleans() | st.integers(-5, 10**7) | st.floats(-1e6, 1e6) | st.sampled_from(["x", "one", "", "<b>"])
)
values = (
    scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.sampled_from(["b", "c", "size"]), scalars, max_size=3)
)
data = st.fixed_dictionaries(
    {},
    optional={
        "a": values | st.dictionaries(st.sampled_from(["b", "size"]), values, max_size=2),
        "list": values | st.lists(st.dictionaries(st.just("b"), scalars), max_size=3),
        "n": scalars,
        "day": st.sampled_from(["2026-11-27", "2026-11-27T10:00:00Z", 1_790_000_000, "soon"]),
        "cur": st.sampled_from(["EUR", "JPY", "?", 1]),
    },
)


def render_text(render: Render, context: dict[str, object]) -> str:
    try:
        return str(render(context))
    except RenderError as error:
        return f"error: {error}"


@given(sources, data)
def test_both_ways_render_alike(source, given_data):
    context = {**given_data, "data": given_data, "user": {}, **SPEECH}
    liquid = LIQUID._compile_liquid(source, html=False)
    straight = compile_branching(source, liquid)
    if straight is not None:
        assert render_text(straight, context) == render_text(liquid, context)


@pytest.mark.parametrize(
    "source",
    [
        "{{ total | money: 'EUR' }} on {{ day | format_date: 'long' }}",
        "{% assign _p = list.size | plural: \"en\" %}{% if _p == \"one\" %}1{% else %}{{ list.size }}{% endif %}",
        "{% if user.name %}, {{ user.name }}{% endif %}!",
    ],
)  # fmt: skip
def test_messages_take_the_fast_path(source):
    def never(_context: object) -> str:
        raise AssertionError("python-liquid was asked")

    straight = compile_branching(source, never)
    assert straight is not None
    context = {"total": 3, "day": "2026-11-27", "list": [1, 2], "user": {"name": "Ada"}, **SPEECH}
    assert straight(context) == LIQUID._compile_liquid(source, html=False)(context)


@pytest.mark.parametrize("chars", [RENDER_OUTPUT_BYTES_MAX // 3, RENDER_OUTPUT_BYTES_MAX, RENDER_OUTPUT_BYTES_MAX + 1])
def test_a_long_text_is_bounded_in_bytes_either_way(chars):
    source, context = "{% if a %}{{ a }}{% endif %}", {"a": "x" * chars, **SPEECH}
    liquid = LIQUID._compile_liquid(source, html=False)
    straight = compile_branching(source, liquid)
    assert straight is not None
    assert render_text(straight, context) == render_text(liquid, context)
    assert render_text(straight, context).startswith("error") == (chars > RENDER_OUTPUT_BYTES_MAX)


@pytest.mark.parametrize(
    "source",
    [
        "{{- a }}", "{{ a | upcase }}", "{% for x in list %}{% endfor %}", "{% if a and b %}{% endif %}", "{{ a }",
        "{% if a == 1 %}{% endif %}", "{{ empty }}", "{% assign x = a %}", "{% raw %}{{ a }}{% endraw %}",
        "{{ a }}" * (STRAIGHT_PIECES_MAX + 1), "{% assign a = n | plural: 'en' %}{{ a }}",
    ],
)  # fmt: skip
def test_other_shapes_are_left_alone(source):
    assert compile_branching(source, lambda _context: "") is None


@pytest.mark.slow
def test_the_whole_catalogue_renders_alike_both_ways():
    folder, straightened = shipped().folder, 0
    for key, source in folder.templates.items():
        layout = folder.layouts[source.layout or ""]
        template = build(BuildJob(key, source, layout, partials_of(folder, source, layout)), {"liquid": LIQUID})
        context = {**source.sample.data, "data": source.sample.data, "user": source.sample.user, "brand": {"name": "A"}}
        for parts in (template.parts, *template.locales.values()):
            for text in parts[Channel.PUSH].values():
                liquid = LIQUID._compile_liquid(text, html=False) if isinstance(text, str) else None
                straight = compile_branching(text, liquid) if liquid else None
                if liquid and straight:
                    straightened += 1
                    assert straight({**context, **SPEECH}) == liquid({**context, **SPEECH})
    assert straightened > 100
