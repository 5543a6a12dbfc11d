"""The renderer over structured parts, the names it reports and the syntax problems it finds."""

import pytest

from clarion.backends.liquid.engine import LiquidRenderer
from clarion.ports.renderer import RenderError, SyntaxProblem

RENDERER = LiquidRenderer()


def render(source, *, html=False, user=None, **data):
    return RENDERER.compile(source, html=html)({**data, "data": data, "user": user or {}})


def test_names_work_under_data_at_the_top_level_and_under_user():
    text = render("{{ data.x }}/{{ x }}/{{ user.first_name | upcase }}", x=1, user={"first_name": "Ada"})
    assert text == "1/1/ADA"


def test_structured_parts_keep_their_shape_and_their_other_leaves():
    source = {"title": "Hi {{ x }}", "data": {"badge": 3, "list": ["{{ x }}", None, True]}}
    assert render(source, x="you") == {"title": "Hi you", "data": {"badge": 3, "list": ["you", None, True]}}


def test_optional_names_may_be_missing():
    source = "{% if data.coupon %}Use {{ data.coupon }}{% endif %}{{ nick | default: 'friend' }}"
    assert render(source) == "friend"
    assert render(source, coupon="X1", nick="Ada") == "Use X1Ada"
    assert RENDERER.usage(source).variables == ()


@pytest.mark.parametrize(
    ("source", "variables", "uses_user"),
    [
        ("{{ data.a }} {{ b.c }} {{ data.a.d }}", ("a", "b"), False),
        ("{{ user.first_name }}", (), True),
        ("{% for i in data.items %}{{ i.name }}{{ forloop.index }}{{ data.z }}{% endfor %}", ("items", "z"), False),
        ("{% assign n = count | plus: extra %}{{ n }}", ("count", "extra"), False),
        ("{% capture c %}{{ q }}{% endcapture %}{{ c }}", ("q",), False),
        ("{% case kind %}{% when 'a' %}{{ a }}{% endcase %}", ("kind", "a"), False),
        ("{% if a %}{{ a }}{{ b }}{% endif %}", ("b",), False),
        ("{{ data['odd name'] }}{{ rows[index].x }}", ("odd name", "rows", "index"), False),
        ({"t": "{{ a }}", "d": ["{{ b }}", 5, {"k": "{{ user.zone }}"}]}, ("a", "b"), True),
        ("{% raw %}{{ a }}{% endraw %}{% comment %}{{ b }}{% endcomment %}", (), False),
        ("no names", (), False),
    ],
)
def test_usage_lists_what_a_request_has_to_bring(source, variables, uses_user):
    usage = RENDERER.usage(source)
    assert set(usage.variables) == set(variables)
    assert usage.uses_user is uses_user


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("one\n{% if x %}", 2, "if"),
        ("one\ntwo\n{{ x | shout }}", 3, "unknown filter 'shout'"),
        ("{% nope %}", 1, "nope"),
        ("one\n{{ x", 2, "without"),
        ("{{ 'x }}", 1, "unexpected"),
        ("{% include 'other' %}", 1, "include"),
        ("\n{% raw %}", 2, "endraw"),
        ("\n{{ (1..9) | join }}", 2, "range"),
    ],
)
def test_syntax_problems_name_the_line(source, line, words):
    with pytest.raises(SyntaxProblem, match=words) as caught:
        RENDERER.compile(source, html=False)
    assert caught.value.line == line


def test_line_ends_are_left_alone():
    assert render("a\r\n{{ x | upcase }}\rb\n", x="\r\n") == "a\r\n\r\n\rb\n"


def test_values_are_escaped_once_in_html_and_the_authors_own_text_is_not():
    assert render("{{ x | append: '<br>' }}", html=True, x="<i>") == "&lt;i&gt;<br>"
    assert render("{{ x | replace: 'i', x }}", html=True, x="<i>") == "&lt;&lt;i&gt;&gt;"
    assert render("{{ x | append: '<br>' }}", html=False, x="<i>") == "<i><br>"


def test_dates_do_not_depend_on_the_machine():
    assert render("{{ t | date: '%Y-%m-%d %H:%M' }}", t=0) == "1970-01-01 00:00"
    assert render("{{ t | date: '%d %b %Y' }}", t="2026-11-21T10:00:00Z") == "21 Nov 2026"
    with pytest.raises(RenderError, match="clock"):
        render("{{ 'now' | date: '%Y' }}")
    with pytest.raises(RenderError, match="'now' is undefined"):
        render("{{ now }}")
