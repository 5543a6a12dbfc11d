"""The renderer over structured parts, the names it reports and the syntax problems it finds."""

import pytest

from clarion.languages.liquid.engine import LiquidRenderer
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
def test_usage_lists_the_variables_of_a_request(source, variables, uses_user):
    usage = RENDERER.usage(source)
    assert set(usage.variables) == set(variables)
    assert usage.uses_user is uses_user


@pytest.mark.parametrize(
    ("source", "needed", "also_read"),
    [
        ("{{ order.number }} {{ data.order.total }}", "order.number order.total", ""),
        ("{% for line in order.lines %}{{ line.name }}{% endfor %}", "order.lines order.lines[].name", ""),
        (
            "{% for a in data.rows %}{% for b in a.cells %}{{ b }}{{ forloop.index }}{% endfor %}{% endfor %}",
            "rows rows[].cells rows[].cells[]",
            "",
        ),
        ("{{ rows[0].name }} {{ rows.first.name }} {{ rows.size }}", "rows[].name rows", ""),
        ("{% for pair in map %}{{ pair[0] }}{{ pair[1] }}{% endfor %}", "map", ""),
        ("{% assign o = data.order %}{{ o.number }}", "order order.number", ""),
        ("{% assign top = rows | sort: 'n' | first %}{{ top.name }}", "rows rows[].name", ""),
        ("{% for r in rows %}{% if r.note %}{{ r.note.text }}{% endif %}{% endfor %}", "rows", "rows[].note rows[].note.text"),
        ("{% if order.coupon %}{{ order.coupon }}{{ order.number }}{% endif %}", "order.number", "order.coupon"),
        ("{% if a %}{% elsif b %}{{ b }}{% endif %}{% unless c %}{{ c }}{% endunless %}", "", "a b c"),
        ("{{ nick | default: name }}", "name", "nick"),
        ("{% assign nick = nick | default: 'x' %}{{ nick }}", "", "nick"),
        ("{% capture q %}{{ a.b }}{% endcapture %}{{ q }}{% increment n %}{{ n }}", "a.b", ""),
        ("{{ maps[key].x }} {{ data['a.b'] }}", "maps key", ""),
        ("{{ brand.name }} {{ user.name }} {{ _locale }} {{ _at_ms | relative_time: due }}", "due", ""),
        ("{% for user in users %}{{ user.name }}{% endfor %}", "users users[].name", ""),
        ("{{ data }}", "", ""),
    ],
)  # fmt: skip
def test_usage_lists_whole_paths(source, needed, also_read):
    usage = RENDERER.usage(source)
    assert set(usage.needed_paths) == set(needed.split())
    assert set(usage.read_paths) == set(needed.split()) | set(also_read.split())
    assert set(usage.variables) == {path.split(".")[0].split("[")[0] for path in needed.split()}


@pytest.mark.parametrize("name", ["format_date", "format_time", "format_datetime"])
def test_formatting_in_the_users_zone_needs_the_user(name):
    assert RENDERER.usage(f"{{{{ at | {name} }}}}").uses_user
    assert RENDERER.usage(f"{{% assign x = at | {name}: 'short' %}}").uses_user
    assert not RENDERER.usage("{{ at | relative_time }}{{ at | money: 'EUR' }}{{ at | date: '%Y' }}").uses_user


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        ("one\n{% if x %}", 2, 11, "if"),
        ("one\ntwo\n{{ x | shout }}", 3, 8, "unknown filter 'shout'"),
        ("ab {% nope %}", 1, 7, "nope"),
        ("one\n  {{ x", 2, 3, "without"),
        ("{{ 'x }}", 1, 4, "unexpected"),
        ("{{ a }}\n {{ a ? }}", 2, 7, "unexpected"),
        ("{% include 'other' %}", 1, 4, "include"),
        ("\n {% raw %}", 2, 2, "endraw"),
        ("\n{{ (1..9) | join }}", 2, 4, "range"),
        ("{% for x %}{% endfor %}", 1, 15, "in"),
        ("{% liquid\n  assign x = 1\n  nope\n%}", 3, 3, "nope"),
        ("\r\n\r\n {{ a | money }}", 3, 9, "money: takes 1 argument"),
        ("{{ a | upcase: 1 }}", 1, 8, "too many"),
        ("{{ a | money: 'EURO' }}", 1, 8, "'EURO' is not a currency"),
        ("{{ a | format_date: 'lnog' }}", 1, 8, "neither short, medium"),
        ("{{ a | format_list: 'nor' }}", 1, 8, "neither 'and' nor 'or'"),
        ("{{ a | truncate: nope: 1 }}", 1, 8, "nope"),
    ],
)
def test_syntax_problems_name_line_and_column(source, line, column, words):
    with pytest.raises(SyntaxProblem, match=words) as caught:
        RENDERER.compile(source, html=False)
    assert (caught.value.line, caught.value.column) == (line, column)
    with pytest.raises(SyntaxProblem):
        RENDERER.usage(source)


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
