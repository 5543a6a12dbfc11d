"""Template tags survive all processing of markup: all of them, in order, at their places."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.app.wiring.engines import template_engines
from clarion.content.html import DocumentSettings, finished, mjml_to_html
from clarion.content.protect import Protected
from clarion.content.tags import tags
from clarion.content.text import text_of
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import MARKUP_DEPTH_MAX, MARKUP_ELEMENTS_MAX, TEMPLATE_TAGS_MAX

LIQUID = template_engines()["liquid"]
STYLE = "<style>.a{color:red} td{margin:0} @media (max-width:9px){.a{color:blue}} .a:hover{color:{{ hover }}}</style>"
OUTPUT = "{{ v | replace: '<b>', \"&amp;\" }}"


def inlined(body, engine="liquid", locale="en"):
    html = finished(STYLE + body, engine, DocumentSettings(locale))
    return html.partition("<body>")[2].partition("</body>")[0].partition("</style>")[2] if "</style>" in html else html


def texts(source, engine="liquid"):
    return [tag.text for tag in tags(source, engine)]


def rendered(source, **data):
    return LIQUID.compile(source, html=True)({**data, "data": data})


@st.composite
def markup(draw, depth=3):
    """Draw HTML as people write it, with tags wherever they are allowed."""
    if depth == 0:
        return draw(
            st.sampled_from(["text", OUTPUT, "{% assign q = v %}", "<br>", "&nbsp;", "<!-- {{ v }} -->", "a > b"])
        )
    inner = "".join(draw(st.lists(markup(depth=depth - 1), max_size=3)))
    shape = draw(
        st.sampled_from(
            [
                "{%% if v > 1 %%}%s{%% else %%}no{%% endif %%}",
                "{%% for i in xs %%}%s{%% endfor %%}",
                '<p class="a" title="{{ v }}">%s</p>',
                "<div {%% if v %%}class='a'{%% else %%}class=\"b\"{%% endif %%}>%s</div>",
                '<div class="{%% if v %%}a{%% endif %%}" style="color:{{ v }}">%s</div>',
                '<div class="a" style="{%% if v > 2 %%}color:{{ v }};{%% endif %%}margin:{{ v }}px">%s</div>',
                "<table>{%% for i in xs %%}<tr class=a><td>%s</td></tr>{%% endfor %%}</table>",
                '<table class="a"><thead><tr><th>x</th></tr></thead>{%% if v %%}<tbody><tr><td>%s</td></tr></tbody>{%% endif %%}</table>',
                "<ul>{%% for i in xs %%}<li>%s</li>{%% endfor %%}</ul>",
                '<a href="https://x.test/{{ v }}?a={{ v }}&amp;b=1">%s</a>'.replace("<a ", "<span ").replace(
                    "</a>", "</span>"
                ),
            ]
        )
    )
    return shape % inner


@given(body=markup())
def test_all_tags_are_preserved_in_order(body):
    assert texts(inlined(body)) == texts(body)


HANDLEBARS = (
    (r"{% if v[^%]*%}", "{{#if v}}"),
    (r"{% else %}", "{{else}}"),
    (r"{% endif %}", "{{/if}}"),
    (r"{% for [^%]*%}", "{{#each xs}}"),
    (r"{% endfor %}", "{{/each}}"),
    (r"{% assign [^%]*%}", "{{! <b> }}"),
    (re.escape(OUTPUT), '{{default v "}}>"}}'),
)


@given(body=markup())
def test_all_tags_of_handlebars_are_preserved_in_order(body):
    for pattern, replacement in HANDLEBARS:
        body = re.sub(pattern, replacement, body)
    assert "{%" not in body and texts(inlined(body, "handlebars"), "handlebars") == texts(body, "handlebars")


@given(body=markup())
def test_all_tags_survive_mjml(body):
    source = f"<mj-section><mj-column><mj-text>{body.replace('<br>', '<br />')}</mj-text></mj-column></mj-section>"
    source = re.sub(r"class=a>", 'class="a">', source)
    assert texts(finished(mjml_to_html(source, "liquid", "en"), "liquid", DocumentSettings("en"))) == texts(source)


@given(body=markup(), v=st.integers(0, 3), xs=st.lists(st.integers(0, 2), max_size=3))
def test_rendered_markup_has_the_same_text(body, v, xs):
    def words(html):
        return re.sub(r"<[^>]*>|\s", "", html).replace("\xa0", "&nbsp;")

    assert words(rendered(inlined(body), v=v, xs=xs)) == words(rendered(body.replace(" > b", " &gt; b"), v=v, xs=xs))


def test_a_loop_around_rows_stays_in_its_table():
    html = inlined("<table>{% for x in xs %}<tr><td>{{ x }}</td></tr>{% endfor %}<tr><td>end</td></tr></table>")
    assert rendered(html, xs=[1, 2]) == (
        '<table><tbody><tr><td style="margin: 0;">1</td></tr><tr><td style="margin: 0;">2</td></tr>'
        '<tr><td style="margin: 0;">end</td></tr></tbody></table>'
    )


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ('<p class="a" style="{% if x %}margin:0{% endif %}">', '<p class="a" style="color: red;{% if x %}margin:0{% endif %}">'),
        ('<p style="{{ x }}">', '<p style="{{ x }}">'),
        ('<p class="a" style="width:{{ w }}px;background:url({{ u }})">',
         '<p class="a" style="color: red;width: {{ w }}px;background: url({{ u }})">'),
        ('<p {% if x %}class="a"{% else %}class="b"{% endif %}>', '<p {% if x %}class="a"{% else %}class="b"{% endif %}>'),
        ("<p id={{ x }} title='{{ y }}'>", '<p id="{{ x }}" title="{{ y }}">'),
        ('<p class="a {{ x }}">', '<p class="a {{ x }}" style="color: red;">'),
        ('<p class="a" title="a > b" style="{% if x %}margin:0{% endif %}">',
         '<p class="a" title="a > b" style="color: red;{% if x %}margin:0{% endif %}">'),
    ],
)  # fmt: skip
def test_attributes(element, expected):
    assert inlined(f"{element}t</p>") == f"{expected}t</p>"


def test_rules_that_an_element_may_need_stay():
    html = finished(f'{STYLE}<p class="{{% if x %}}a{{% endif %}}">t</p>', "liquid", DocumentSettings("en"))
    assert ".a{color:red}" in html and '<p class="{% if x %}a{% endif %}">' in html
    assert ".a{color:red}" not in finished(f'{STYLE}<p class="a">t</p>', "liquid", DocumentSettings("en"))


def test_rules_that_depend_on_data_stay_as_they_are():
    style = "<style>{% if dark %}p{color:white}{% endif %}</style>"
    html = finished(f"{style}<p>t</p>", "liquid", DocumentSettings("en"))
    assert style in html and "<p>t</p>" in html


def test_a_value_of_a_rule_may_be_a_tag():
    assert '<p style="color: {{ brand.text_color }};">' in finished(
        "<style>p{color:{{ brand.text_color }}}</style><p>t</p>", "liquid", DocumentSettings("en")
    )


def test_media_queries_and_states_are_kept_and_nothing_is_fetched():
    link = '<link rel="stylesheet" href="https://fonts.test/x.css"><style>@import url("https://fonts.test/y.css");p{margin:0}</style>'
    html = finished(
        f"<html><head>{STYLE}{link}</head><body><p class=a>t</p></body></html>", "liquid", DocumentSettings("en")
    )
    for kept in ("@media (max-width:9px)", ".a:hover { color: {{ hover }}; }", 'href="https://fonts.test/x.css"'):
        assert kept in html


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("<mj-head>{% if x %}</mj-head><mj-body></mj-body>", "{% if x %}"),
        ("<mj-body><mj-section {{ x }}></mj-section></mj-body>", "{{ x }}"),
    ],
)
def test_a_misplaced_tag_in_mjml_is_named(source, shown):
    with pytest.raises(InvalidField, match="is not allowed in this place") as error:
        mjml_to_html(f"<mjml>{source}</mjml>", "liquid", "en")
    assert error.value.code == "misplaced_tag" and shown in error.value.detail


def test_braces_written_as_entities_never_become_tags():
    for engine in ("liquid", "handlebars"):
        html = inlined("<p title='&#123;&#123; a }}'>&#x7b;{ user.id }} &#123;% if %}</p>", engine)
        assert texts(html, engine) == [] and rendered(html) == html
        assert texts(text_of(html, engine), engine) == []


def test_the_authors_text_is_never_read_as_tags():
    body = '<p clrn="">clrn0x <!--clrn0x--> clrnq1x {{ v }}</p>'
    assert inlined(body) == body


@pytest.mark.parametrize(
    "source",
    [
        "<div>" * (MARKUP_DEPTH_MAX + 1),
        "<b><i></b>" * (MARKUP_DEPTH_MAX + 1),
        "<p></p>" * (MARKUP_ELEMENTS_MAX + 1),
        "{{ a }}" * (TEMPLATE_TAGS_MAX + 1),
        '<p title="',
        # Nested by a parser, but not by a plain count of start and end tags.
        "<svg>" + "<td>" * MARKUP_ELEMENTS_MAX,
        "<svg><title>" + "<div>" * MARKUP_ELEMENTS_MAX,
        "<p a'>" + "<div>" * (MARKUP_DEPTH_MAX + 1) + "<p '>",
        "<!-->" + "<div>" * (MARKUP_DEPTH_MAX + 1) + "-->",
        "<b>" * 100 + "<p>" * (MARKUP_ELEMENTS_MAX // 100),
    ],
)
def test_excessive_markup_is_refused_before_parsing(source):
    with pytest.raises(InvalidField):
        Protected(source, "liquid")


@pytest.mark.parametrize("piece", ["<p>", "<BR>", "<keygen>", "<mj-wrapper>"])
def test_nesting_of_xml_is_counted(piece):
    with pytest.raises(InvalidField) as error:
        Protected("<mj-raw>" + piece * MARKUP_DEPTH_MAX, "liquid", mjml=True)
    assert error.value.code == "too_deep"


def test_rules_times_elements_are_bounded():
    rules = "<style>" + "".join(f".c{n} p{{color:red}}" for n in range(1_000)) + "</style>"
    with pytest.raises(InvalidField, match="1000 style rules"):
        finished(rules + "<p>x</p>" * 1_100, "liquid", DocumentSettings("en"))
