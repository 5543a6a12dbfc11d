"""E-mails as they are sent: documents with language, direction, colour schemes and preheader, in their layout."""

import pytest

from clarion.content.email_layout import LocalizedLayout, email
from clarion.content.html import DocumentSettings, finished
from clarion.domain.errors import InvalidField

BODY = "<mj-section><mj-column><mj-text>Hi {{ name }}</mj-text></mj-column></mj-section>"
MJML = "<mjml><mj-body>TOP{{ content }}</mj-body></mjml>".replace("TOP", BODY.replace("Hi {{ name }}", "TOP"))


def built(parts, frame=None, locale="en", engine="liquid"):
    return email({"subject": "s", **parts}, engine, frame or LocalizedLayout(), locale)


def refused(parts, frame=None):
    with pytest.raises(InvalidField) as error:
        built(parts, frame)
    return error.value


def test_a_fragment_that_needs_nothing_stays_as_it_is():
    assert built({"html": "<p class='x'>Hi {{ name }}"}) == {
        "subject": "s", "html": "<p class='x'>Hi {{ name }}", "text": "Hi {{ name }}",
    }  # fmt: skip


def test_the_authors_text_is_used():
    assert built({"html": "<p>a</p>", "text": "b"})["text"] == "b"
    assert built({"text": "b"}) == {"subject": "s", "text": "b"}


@pytest.mark.parametrize(("locale", "direction"), [("ar", "rtl"), ("he-IL", "rtl"), ("de", "ltr"), ("pt-BR", "ltr")])
def test_language_and_direction(locale, direction):
    opening = f'<html lang="{locale}" dir="{direction}">'
    assert opening in finished('<html dir="auto" lang="en"><body>x</body></html>', "liquid", DocumentSettings(locale))
    fragment = finished("<p>x</p>", "liquid", DocumentSettings(locale))
    assert (opening in fragment) is (direction == "rtl") and "<p>x</p>" in fragment
    mail = built({"mjml": BODY}, locale=locale)["html"]
    assert f'lang="{locale}" dir="{direction}">' in mail and f"direction:{direction}" in mail
    assert f"text-align:{'right' if direction == 'rtl' else 'left'}" in mail and 'dir="auto"' not in mail


@pytest.mark.parametrize(
    ("style", "schemes"),
    [
        ("@media (prefers-color-scheme: dark){p{color:white}}", "light dark"),
        ("p{margin:0}", "light dark"),
        ("p{color:black}", "light"),
    ],
)
def test_colour_schemes(style, schemes):
    html = finished(f"<style>{style}</style><p>x</p>", "liquid", DocumentSettings("en"))
    assert f'<meta name="color-scheme" content="{schemes}">' in html
    assert f'<meta name="supported-color-schemes" content="{schemes}">' in html


def test_colour_schemes_that_the_author_names_stay():
    html = finished(
        '<head><meta name="color-scheme" content="only light"></head><body>x</body>', "liquid", DocumentSettings("en")
    )
    assert html.count("color-scheme") == 1


def test_a_preheader_is_hidden_before_all_else_and_no_part_of_the_text():
    done = built(
        {"html": "<html><body class=b><p>x</p></body></html>", "preheader": 'A & <b> {{ a | default: "<i>" }}'}
    )
    assert "preheader" not in done and done["text"] == "x"
    start = done["html"].partition("<body class=b>")[2]
    assert start.startswith('<div style="display:none') and 'A &amp; &lt;b> {{ a | default: "<i>" }}' in start


@pytest.mark.parametrize(
    "document",
    [
        "<html><p>{% if a %}x{% endif %}</p></html>",
        "<html>{% if a %}<p>x</p>{% endif %}</html>",
        "<html><head><style>p{margin:0}</style></head>{% if a %}<p>x</p>{% endif %}</html>",
        "<head><style>p{margin:0}</style></head><body>{% if a %}<p>x</p>{% endif %}</body>",
        "<html><body><style>p{margin:0}</style>{% if a %}<p>x</p>{% endif %}</body></html>",
        "<!doctype html><body>{% if a %}<style>p{margin:0}</style><p>x</p>{% endif %}</body>",
        "<style>p{margin:0}</style>{% if a %}<p>x</p>{% endif %}",
    ],
)
def test_any_document_becomes_a_whole_one(document):
    html = finished(document, "liquid", DocumentSettings("de", "pre"))
    for one in ("<html", "<head>", "<body>", "</body>", "</html>", 'content="light dark"', ">pre"):
        assert html.count(one) == (2 if one == 'content="light dark"' else 1) or (
            one.startswith("</") and "style" not in document
        )
    assert (
        html.index("<head>")
        < html.index("<body>")
        < html.index(">pre")
        < html.index("{% if a %}")
        < html.index("{% endif %}")
    )


def test_mjml_in_mjml():
    done = built({"mjml": BODY}, LocalizedLayout(mjml=MJML, text="{{ content }}\n--\nfoot"))
    assert done["html"].index("TOP") < done["html"].index("Hi {{ name }}") and "clarion" not in done["html"]
    assert done["text"] == "Hi {{ name }}\n--\nfoot" and "fonts.googleapis" not in done["html"]


@pytest.mark.parametrize(
    "layout",
    [
        "<mj-body>{{ content }}</mj-body>",
        "<mj-body><mj-wrapper>{{content}}</mj-wrapper></mj-body>",
        "<mj-body><mj-section>{{{content}}}</mj-section></mj-body>",
        "<mj-body><mj-section><mj-column>{{~content~}}</mj-column></mj-section></mj-body>",
        "<mj-body><mj-section><mj-column><mj-text>{{ content }}</mj-text></mj-column></mj-section></mj-body>",
        "<mj-body><mj-raw><div>{{ content }}</div></mj-raw></mj-body>",
    ],
)
def test_html_in_mjml(layout):
    done = built({"html": "<p>Hi<br>{{ name }}"}, LocalizedLayout(mjml=f"<mjml>{layout}</mjml>"), engine="handlebars")
    assert "<p>Hi<br>{{ name }}" in done["html"] and done["text"] == "Hi\n{{ name }}"
    comments = done["html"].split("<!--[if mso | IE]>")
    assert not any("{{ name }}" in comment.partition("<![endif]-->")[0] for comment in comments[1:])


def test_a_wrapper_around_the_content_does_not_reach_into_the_text():
    frame = LocalizedLayout(mjml="<mjml><mj-body><mj-wrapper>{{ content }}</mj-wrapper></mj-body></mjml>")
    done = built({"mjml": "{% for x in xs %}" + BODY + "{% endfor %}"}, frame)
    assert done["text"] == "{% for x in xs %}Hi {{ name }}\n\n{% endfor %}"


def test_html_in_html():
    done = built({"html": "<p>Hi</p>"}, LocalizedLayout(html="<html><body><div>{{ content }}</div>foot</body></html>"))
    assert "<div><p>Hi</p></div>foot" in done["html"] and done["text"] == "Hi"


def test_content_that_does_not_fit_a_layout():
    assert refused({"mjml": BODY}, LocalizedLayout(html="<p>{{ content }}</p>")).code == "layout_mismatch"
    assert (
        "whole document"
        in refused({"mjml": f"<mjml><mj-body>{BODY}</mj-body></mjml>"}, LocalizedLayout(mjml=MJML)).detail
    )
    assert refused({"html": "<html><body>x</body></html>"}, LocalizedLayout(html="{{ content }}")).field == "html"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<mj-section><mj-column></mj-section>", "MJML"),
        ("<mj-text>a < b</mj-text>", "MJML"),
        ("<mjml>\n<mj-body>\n</mj-text></mj-body></mjml>", "</mj-body> in line 3"),
        ("<mjml>\n<mj-head>\nü {{ y }}</mj-head></mjml>", "ü in line 3"),
        ('<mj-include path="/etc/passwd" />', "MJML"),
    ],
)
def test_faulty_mjml(source, words):
    error = refused({"mjml": source})
    assert (error.field, error.code) == ("mjml", "mjml_syntax") and words in error.detail
