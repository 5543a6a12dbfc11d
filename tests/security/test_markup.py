"""HTML parts: only the template decides which characters are markup, for any use of data.

Each template is rendered twice: with data full of special characters, and with letters in their place. Both texts have
the same raw special characters: those that the template wrote.
"""

from collections import Counter

import pytest
from hypothesis import example, given, settings

from clarion.languages.liquid.engine import LiquidRenderer
from clarion.ports.renderer import RenderError
from tests.security.liquid_grammar import EVIL, SOURCES, TAME, context

RENDERER = LiquidRenderer()


def markup(source, text):
    """Return the count of each raw special character in the text that a source renders from data; None for an error."""
    try:
        html = RENDERER.compile(source, html=True)(context(text))
    except RenderError:
        return None
    # The number of lines may depend on the data (`replace: x, ''`); the tag between them is the filter's own.
    return Counter(character for character in html.replace("<br />", "") if character in "<>\"'")


@settings(max_examples=2 * settings().max_examples)
@given(SOURCES)
@example("{{ x | escape | replace: '&lt;', '<' }}")
@example("{{ x | escape | replace_first: '&lt;', '<' }}")
@example("{{ x | escape | replace_last: '&lt;', '<' }}")
@example("{{ x | split: '<' | join: '<' }}")
@example("{{ x | escape | split: '&lt;' | join: '<' }}")
@example("{{ entities | escape_once | append: '' }}")
@example("{% capture held %}<i>{{ x }}</i>{% endcapture %}{{ held | replace: '&lt;', '<' }}")
@example("{{ x | url_encode | url_decode | append: '<i' }}")
@example("{{ entities | replace: x, '<' | newline_to_br }}")
@example("{{ x | newline_to_br | remove: 'amp;' | replace: '&#39;', '>' }}")
def test_markup_is_the_templates_own(source):
    loud, quiet = markup(source, EVIL), markup(source, EVIL.translate(TAME))
    if loud is not None and quiet is not None:
        assert loud == quiet


def render(source, **data):
    return RENDERER.compile(source, html=True)({**data, "data": data, "user": {}})


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("{{ l | join: '<br>' }}", "&lt;a&gt;<br>b"),
        ("{{ l | join: ' &middot; ' }}", "&lt;a&gt; &middot; b"),
        ("{{ l | join: '<' }}", "&lt;a&gt;&lt;b"),
        ("{{ l | join: '<b title=' }}", "&lt;a&gt;&lt;b title=b"),
        ("{{ l | join: x }}", "&lt;a&gt;&lt;i&gt;b"),
        ("{{ l | join }}", "&lt;a&gt; b"),
        ("{{ x | append: '<br>' | prepend: '<p>' }}", "<p>&lt;i&gt;<br>"),
        ("{% capture c %}<p>{{ x }}</p>{% endcapture %}{{ c | append: x | strip }}", "<p>&lt;i&gt;</p>&lt;i&gt;"),
        ("{{ lines | newline_to_br }}", "&lt;a&gt;<br />\nb"),
        ("{{ '<p>NAME</p>' | replace: 'NAME', x }}", "&lt;p&gt;&lt;i&gt;&lt;/p&gt;"),
        ("{{ expression }}", "{{7*7}}{% assign x = 1 %}"),
    ],
)
def test_what_composes_markup_and_what_does_not(source, html):
    data = {"x": "<i>", "l": ["<a>", "b"], "lines": "<a>\nb", "expression": "{{7*7}}{% assign x = 1 %}"}
    assert render(source, **data) == html
