"""Text made from HTML is readable, and is a template as the HTML was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.app.wiring.engines import template_engines
from clarion.content.tags import tags
from clarion.content.text import text_of
from clarion.domain.errors import InvalidField

LAYOUT = '<table role="presentation"><tr><td>{}</td></tr><tr><td>{}</td></tr></table>'


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h1>Hi</h1><p>a  <b>b</b>\n c</p>d", "Hi\n\na b c\n\nd"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("x &amp; y &lt;3&nbsp;&copy;", "x & y <3 ©"),
        ('see <a href="https://x.test/a?b=1&amp;c=2">the <i>page</i></a>.', "see the page (https://x.test/a?b=1&c=2)."),
        ('<a href="https://x.test">https://x.test</a>', "https://x.test"),
        ('<a href="mailto:a@b.test">a@b.test</a> <a href="tel:+1">call</a>', "a@b.test call (+1)"),
        ('<a href="#top">up</a><a name="x"></a>', "up"),
        ('<a href="https://x.test"><img src="x" alt="Logo"></a><img src="y">', "Logo (https://x.test)"),
        ("<ul><li>one<li>two<ol><li>in</li><li>out</li></ol></li></ul>end", "- one\n- two\n  1. in\n  2. out\n\nend"),
        ("<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td> 2 </td></tr></table>", "A  B\n1  2"),
        (LAYOUT.format("a", "<p>b</p>c"), "a\n\nb\n\nc"),
        (LAYOUT.format("a", "<table><tr><td>1</td><td>2</td></tr></table>"), "a\n\n1  2"),
        ("<pre>a\n  b</pre>c", "a\n  b\n\nc"),
        ("a<hr>b", "a\n\n---\n\nb"),
        ("<td><b style='display: block'>23</b>done</td>", "23\ndone"),
        ("<style>p{}</style><script>1<2</script><head><title>t</title></head>a", "a"),
        ('<div style="display:none">hid<div>den</div>x</div>a<span hidden>b</span>', "a"),
        ("<!--[if mso]><p>old</p><![endif]--><![if !mso]>new<![endif]><![foo]>!<?x?>", "new!"),
        ("<p></p><div><p>\n</p></div>", ""),
    ],
)
def test_how_html_reads(html, text):
    assert text_of(html, "liquid") == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>{{ a | replace: '<b>', \"x\" }}</p>", "{{ a | replace: '<b>', \"x\" }}"),
        ('<a href="https://x.test/{{ id }}">{% if a > b %}go{% endif %}</a>',
         "{% if a > b %}go{% endif %} (https://x.test/{{ id }})"),
        ("<table>{% for l in ls %}<tr><td>{{ l }}</td></tr>{% endfor %}</table>z", "{% for l in ls %}{{ l }}\n{% endfor %}z"),
        ("<p>{% if a %}x{% endif %}</p>", "{% if a %}x{% endif %}"),
        ('<p {% if a %}class="b"{% endif %}>x</p>', "x"),
    ],
)  # fmt: skip
def test_tags_stay(html, text):
    assert text_of(html, "liquid") == text


def test_a_loop_gives_a_line_for_each_row_and_no_more():
    html = "<p>top</p><table>{% for l in ls %}<tr><td>{{ l }}</td><td>x</td></tr>{% endfor %}</table><p>end</p>"
    render = template_engines()["liquid"].compile(text_of(html, "liquid"), html=False)
    assert render({"ls": ["<1>", "2"]}) == "top\n\n<1>  x\n2  x\nend"


def test_tags_of_handlebars_stay():
    html = '<ul>{{#each xs}}<li>{{this}} {{money a "}}"}}</li>{{/each}}</ul>'
    assert text_of(html, "handlebars") == '{{#each xs}}\n- {{this}} {{money a "}}"}}\n{{/each}}'.replace(
        "}}\n-", "}}- "
    ).replace("-  ", "- ")


@given(st.text(alphabet="<>/!-[]abp ='\"&;{}%\n", max_size=80))
def test_any_text_is_read(html):
    try:
        text = text_of(html, "liquid")
    except InvalidField as error:
        assert "never closed" in error.detail
    else:
        assert [tag.text for tag in tags(text, "liquid") if tag.text not in html] == []
