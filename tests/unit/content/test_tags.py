"""Tags are found where the engines find them, and only there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.content.tags import put_in, tags


def found(source, engine):
    return [(tag.text, tag.block) for tag in tags(source, engine)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a {{ b }} {% if c %}d{% endif %}", [("{{ b }}", False), ("{% if c %}", True), ("{% endif %}", True)]),
        ("{% raw %}{{ a }}{% endraw %}{{ b }}", [("{% raw %}{{ a }}{% endraw %}", False), ("{{ b }}", False)]),
        ("{%- comment -%}{% t a %}{%- endcomment -%}", [("{%- comment -%}{% t a %}{%- endcomment -%}", True)]),
        ("{% raw %}{{ a }}", [("{% raw %}", True), ("{{ a }}", False)]),
        ("{ { a } } {", []),
        ("{{ a", []),
        ("{{ a\n| b: '%}' }}", [("{{ a\n| b: '%}' }}", False)]),
    ],
)
def test_liquid(source, expected):
    assert found(source, "liquid") == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{a}}{{{b}}}{{#if c}}{{else}}{{/if}}", [("{{a}}", False), ("{{{b}}}", False), ("{{#if c}}", True), ("{{else}}", True), ("{{/if}}", True)]),
        ('{{a "}}"}}b', [('{{a "}}"}}', False)]),
        ("{{!-- {{a}} --}}{{! x }}", [("{{!-- {{a}} --}}", True), ("{{! x }}", True)]),
        ("\\{{a}} {{b}}", [("{{a}}", False), ("{{b}}", False)]),
        ("{{{{raw}}}} {{a}} {{{{/raw}}}}{{b}}", [("{{{{raw}}}} {{a}} {{{{/raw}}}}", True), ("{{b}}", False)]),
        ("{{> part}}{{^x}}", [("{{> part}}", True), ("{{^x}}", True)]),
        ("{{ a", []),
        ('{{a "}} {{b}}', [('{{a "}}', False), ("{{b}}", False)]),
    ],
)  # fmt: skip
def test_handlebars(source, expected):
    assert found(source, "handlebars") == expected


@pytest.mark.parametrize("engine", ["liquid", "handlebars"])
@given(source=st.text(alphabet="{}%-~!#/ \"'abraw\\\n", max_size=60))
def test_any_text_is_tags_and_what_is_between(engine, source):
    position = 0
    for tag in tags(source, engine):
        assert position <= tag.start < tag.end <= len(source) and source[tag.start : tag.end] == tag.text
        position = tag.end
    assert put_in(source, engine, lambda tag: None) == source


@pytest.mark.parametrize(
    ("engine", "source", "expected"),
    [
        ("liquid", "a {{ x }} b", "a - b"),
        ("liquid", "a {{- x -}} b", "a-b"),
        ("liquid", "a {%- x %}\n b", "a-\n b"),
        ("handlebars", "a {{~x~}} b", "a-b"),
        ("handlebars", "a {{{x}}} b", "a - b"),
    ],
)
def test_a_replaced_tag_removes_its_white_space(engine, source, expected):
    assert put_in(source, engine, lambda tag: "-") == expected


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["liquid", "handlebars"])
@pytest.mark.parametrize("piece", ["{{", "{%", "{% raw %}", "{{!--", "{{{", "{{{{a}}}}", '{{"', "{"])
def test_an_unclosed_tag_is_searched_once(engine, piece):
    assert len(list(tags(piece * 100_000, engine))) <= 100_000
