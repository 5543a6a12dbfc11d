"""HTML parts: data stays text under every template."""

import base64
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from clarion.content.compiled import compile_channel
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.template import Brand
from clarion.languages.liquid.engine import LiquidRenderer
from clarion.ports.renderer import RenderError, SyntaxProblem

RENDERER = LiquidRenderer()
EVIL = "<script>alert(1)</script><img src=x onerror='e'>\"'&"
SOURCES = [
    "{{ x }}", "{{ data.x }}", "{{ user.name }}", "{{ user }}", "{{ data }}", "{{ l }}", "{{ d }}", "{{ d.k }}", "{{ l[0] }}",
    "{{ x | upcase | downcase }}", "{{ x | capitalize }}", "{{ x | append: 'a' }}", "{{ 'a' | append: x }}",
    "{{ x | prepend: '<p>' }}", "{{ '<p>' | prepend: x }}", "{{ x | replace: 'alert', 'b' }}", "{{ 'abc' | replace: 'b', x }}",
    "{{ 'abc' | replace_first: 'b', x }}", "{{ 'abc' | replace_last: 'b', x }}", "{{ x | remove: 'q' }}",
    "{{ x | remove_first: 'q' }}", "{{ x | remove_last: 'q' }}", "{{ x | split: '' | join: '' }}", "{{ l | join: '-' }}",
    "{{ 'a,b' | split: ',' | join: x }}", "{{ l | join: x }}", "{{ x | strip | lstrip | rstrip }}",
    "{{ x | strip_newlines }}", "{{ x | newline_to_br }}", "{{ x | truncate: 30 }}", "{{ 'long text' | truncate: 4, x }}",
    "{{ x | truncatewords: 2 }}", "{{ 'a b c' | truncatewords: 1, x }}", "{{ x | slice: 0, 30 }}", "{{ x | squish }}",
    "{{ x | default: 'a' }}", "{{ nothing | default: x }}", "{{ '' | default: x }}", "{{ x | escape }}", "{{ x | escape_once }}",
    "{{ b | base64_decode }}", "{{ b | base64_url_safe_decode }}", "{{ q | url_decode }}", "{{ x | url_encode | url_decode }}",
    "{{ x | base64_encode | base64_decode }}", "{{ h | escape_once }}", "{{ l | first }}", "{{ l | last }}", "{{ l | reverse }}",
    "{{ l | sort }}", "{{ l | uniq }}", "{{ l | compact }}", "{{ l | concat: l }}", "{{ ll | map: 'k' }}", "{{ ll | where: 'k' }}",
    "{{ ll | sum: 'k' }}", "{{ x | date: '%Y' }}", "{% assign a = x %}{{ a }}", "{% capture a %}{{ x }}{% endcapture %}{{ a }}",
    "{% capture a %}<p>{% endcapture %}{{ a | append: x }}", "{% for i in l %}{{ i }}{% endfor %}", "{% cycle x, 'b' %}",
    "{% echo x %}", "{% liquid\necho x %}", "{% case x %}{% when x %}{{ x }}{% endcase %}", "{% if x %}{{ x }}{% endif %}",
    "{{ x | plus: 1 }}", "{{ x | size }}", "{{ x | sort_natural }}", "{{ ll | find: 'k' }}", "{{ ll | group_by: 'k' }}",
]  # fmt: skip
CONTEXT = {
    "x": EVIL, "l": [EVIL, "b"], "d": {"k": EVIL, EVIL: 1}, "ll": [{"k": EVIL}], "q": quote(EVIL), "h": EVIL.replace("<", "&lt;"),
    "b": base64.b64encode(EVIL.encode()).decode(),
}  # fmt: skip


class Tags(HTMLParser):
    """The tags that a browser would read in a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)


@pytest.mark.parametrize("source", SOURCES)
def test_data_stays_text(source):
    try:
        text = RENDERER.compile(source, html=True)({**CONTEXT, "data": CONTEXT, "user": {"name": EVIL}})
    except (RenderError, SyntaxProblem):
        return
    assert not {"script", "img"} & set(Tags(text).found), text


@pytest.mark.parametrize("html", [False, True])
def test_no_filter_says_that_data_is_markup(html):
    with pytest.raises(SyntaxProblem, match="unknown filter 'safe'"):
        RENDERER.compile("{{ x | safe }}", html=html)


@pytest.mark.parametrize("name", ["user", "data", "brand", "_locale", "forloop", "self", "__class__", "true", "empty"])
def test_data_cannot_take_a_name_that_means_something_else(name):
    """A request's data named `user` or `data` does not replace the user or the data."""
    source = "{{ user.id }} {{ data.text }} {{ 0.5 | format_number }} {{ brand.name | default: 'none' }}"
    template = Template("t", 1, None, {Channel.SMS: {"body": source}})
    compiled = compile_channel(template, "en", Channel.SMS, Brand(), {"liquid": RENDERER})
    parts = compiled.render({name: "forged", "text": "t"}, {"id": "ada"}, "de", "UTC", 0)
    assert parts["body"] == "ada t 0,5 none"


def test_a_tree_stays_the_tree_that_was_written():
    """Data in the strings of a JSON part cannot add members to it."""
    render = RENDERER.compile({"a": "{{ data.x }}", "b": ["{{ data.x }}", 1, None, {"c": "{{ data.x }}"}]}, html=False)
    forged = '", "admin": "1'
    assert render({"data": {"x": forged}}) == {"a": forged, "b": [forged, 1, None, {"c": forged}]}


ESCAPES = [
    "{{ x.__class__.__mro__ }}", "{{ l.__len__ }}", "{{ data.__dict__ }}", "{{ data.items }}", "{{ data['__class__'] }}",
    "{{ x.format }}", "{{ '{0.__class__}' | format: x }}", "{{ self }}", "{{ __builtins__ }}", "{{ x | attr: '__class__' }}",
    "{% include '/etc/passwd' %}", "{% render 'a' %}", "{% extends 'a' %}", "{% import os %}", "{% macro a %}{% endmacro %}",
    "{% set a = 1 %}", "{{ now }}", "{{ 'now' | date: '%s' }}", "{{ config }}",
]  # fmt: skip


@pytest.mark.parametrize("source", ESCAPES)
@pytest.mark.parametrize("html", [False, True])
def test_there_is_no_way_out_of_the_data(source, html):
    with pytest.raises((RenderError, SyntaxProblem)):
        RENDERER.compile(source, html=html)({**CONTEXT, "data": CONTEXT, "user": {}})
