"""Building: sources become messages, complete in every locale, and each fault is named by its path, line and column."""

import msgspec
import pytest

from clarion.app.wiring.engines import template_engines
from clarion.content.build import build
from clarion.content.compiled import compile_channel
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import TEMPLATE_BYTES_MAX
from clarion.domain.template import Brand, Layout, Partial, Source, Translation
from clarion.ports.drafting import BuildJob

ENGINES = template_engines()
EN = {"hi": "Hi {{ user.name }}", "n": {"one": "{{ n }} thing", "other": "{{ n }} things"}}
FRAME = "<mjml><mj-body><mj-section><mj-column>{{ content }}</mj-column></mj-section></mj-body></mjml>"


def made(source, layout=None, **partials):
    job = BuildJob(
        "order", msgspec.convert(source, Source), layout, {key: Partial(text) for key, text in partials.items()}
    )
    return build(job, ENGINES)


def refused(source, layout=None, **partials):
    with pytest.raises(InvalidField) as error:
        made(source, layout, **partials)
    return error.value


def sms(body, **more):
    return {"channels": {"sms": {"body": body}}, **more}


def test_a_plain_template_is_unchanged():
    template = made(
        {"channels": {"sms": {"body": "Hi {{ name }}"}, "push": {"data": {"a": ["{{ x.y }}", 1]}}}, "category": "c"}
    )
    assert template.parts == {Channel.SMS: {"body": "Hi {{ name }}"}, Channel.PUSH: {"data": {"a": ["{{ x.y }}", 1]}}}
    assert (template.key, template.version, template.category, template.engine) == ("order", 0, "c", "liquid")
    assert (
        set(template.variables) == {"name", "x"}
        and not template.uses_user
        and not template.derived
        and not template.locales
    )


def test_data_cannot_change_the_shape_of_json_text():
    blocks = '[{"type": "section", "text": "{% t hi %}"}]'
    template = made({"channels": {"chat": {"blocks": blocks}}, "locales": {"en": {"messages": {"hi": '"{{ name }}"'}}}})
    assert template.parts[Channel.CHAT]["blocks"] == [{"type": "section", "text": '"{{ name }}"'}]
    compiled = compile_channel(template, "en", Channel.CHAT, Brand(), ENGINES)
    name = '"}, {"type": "divider"}, {"text": "'
    assert compiled.render({"name": name}, {}, "en", "UTC", 0)["blocks"] == [{"type": "section", "text": f'"{name}"'}]


@pytest.mark.parametrize("text", ["{{ blocks }}", "7", '"text"', "[{% if a %}1{% endif %}]", "[" * 40 + "]" * 40])
def test_other_text_stays_text(text):
    assert made({"channels": {"chat": {"blocks": text}}}).parts[Channel.CHAT]["blocks"] == text


def test_every_locale_is_whole():
    template = made(
        {
            "channels": {"sms": {"body": "{% t hi %}"}, "push": {"title": "{% t hi %}", "body": "base"}},
            "locales": {
                "en": {"messages": {"hi": "Hi"}},
                "es": {"messages": {"hi": "Hola"}, "channels": {"push": {"body": "es"}}},
                "es-MX": {"channels": {"sms": {"body": "¡{% t hi %}!"}}},
                "de": {"channels": {"push": {"title": "Tag"}}},
            },
        }
    )
    assert template.parts == {Channel.SMS: {"body": "Hi"}, Channel.PUSH: {"title": "Hi", "body": "base"}}
    assert template.locales == {
        "es": {Channel.SMS: {"body": "Hola"}, Channel.PUSH: {"title": "Hola", "body": "es"}},
        "es-MX": {Channel.SMS: {"body": "¡Hola!"}, Channel.PUSH: {"title": "Hola", "body": "es"}},
        "de": {Channel.SMS: {"body": "Hi"}, Channel.PUSH: {"title": "Tag", "body": "base"}},
    }


def test_text_is_used_for_channels_without_content():
    template = made(
        {"channels": {"push": {"title": "P"}}, "text": "{% t hi %}\nmore {{ n }}", "locales": {"en": {"messages": EN}}}
    )
    title, body = "Hi {{ user.name }}", "more {{ n }}"
    whole = f"{title}\n{body}"
    assert template.parts == {
        Channel.PUSH: {"title": "P"},
        Channel.EMAIL: {"subject": title, "text": whole},
        Channel.SMS: {"body": whole},
        Channel.WEBPUSH: {"title": title, "body": body},
        Channel.WHATSAPP: {"body": whole},
        Channel.CHAT: {"text": whole},
        Channel.INAPP: {"title": title, "body": body},
        Channel.WEBHOOK: {"type": "order", "data": {"text": whole}},
    }
    assert set(template.derived) == set(Channel) - {Channel.PUSH} and template.uses_user


@pytest.mark.parametrize(
    ("text", "own", "subject", "inapp"),
    [
        ("One line", {"sms": {"body": "x"}}, "One line", {"body": "One line"}),
        ("One line", {"push": {"title": "P"}}, "P", {"title": "P", "body": "One line"}),
        ("{% if a %}x\ny{% endif %}", {"sms": {"body": "x"}}, "order", {"body": "{% if a %}x\ny{% endif %}"}),
    ],
)
def test_titles_of_the_text(text, own, subject, inapp):
    template = made({"channels": own, "text": text})
    assert template.parts[Channel.EMAIL]["subject"] == subject and template.parts[Channel.INAPP] == inapp


def test_an_email_uses_its_layout_in_the_same_locale():
    layout = Layout(
        mjml=FRAME.replace("{{ content }}", "{{ content }}<mj-text>{% t bye %} {% partial foot %}</mj-text>"),
        text="{{ content }}\n-- {% t bye %}",
        locales={"en": Translation({"bye": "Bye"}), "de": Translation({"bye": "Tschüss"})},
    )
    source = {
        "channels": {
            "email": {
                "subject": "{% t hi %}",
                "preheader": "{% t n, count: n %}",
                "mjml": "<mj-text>{% t hi %}</mj-text>",
            }
        },
        "locales": {"en": {"messages": EN}, "de": {"messages": {"hi": "Hallo"}}, "ar": {"messages": {"hi": "مرحبا"}}},
        "layout": "house",
    }
    template = made(source, layout, foot="{{ brand.name }}")
    for parts, words in (
        (template.parts, ("Hi {{ user.name }}", "Bye")),
        (template.locales["de"], ("Hallo", "Tschüss")),
    ):
        mail = parts[Channel.EMAIL]
        assert set(mail) == {"subject", "html", "text"} and mail["text"] == f"{words[0]}\n-- {words[1]}"
        assert (
            f"{words[1]} {{{{ brand.name }}}}" in mail["html"]
            and words[0] in mail["html"]
            and '== "one"' in mail["html"]
        )
    assert 'dir="rtl"' in template.locales["ar"][Channel.EMAIL]["html"]
    assert "Bye" in template.locales["ar"][Channel.EMAIL]["html"]
    assert set(template.variables) == {"n"} and template.uses_user


def test_an_override_of_html_replaces_mjml():
    template = made(
        {
            "channels": {
                "email": {
                    "subject": "s",
                    "mjml": "<mj-section><mj-column><mj-text>a</mj-text></mj-column></mj-section>",
                }
            },
            "locales": {"de": {"channels": {"email": {"html": "<p>b</p>"}}}},
        }
    )
    assert "<table" in template.parts[Channel.EMAIL]["html"]
    assert template.locales["de"][Channel.EMAIL] == {"subject": "s", "html": "<p>b</p>", "text": "b"}


def test_variables_are_gathered_over_parts_and_locales():
    source = sms("{{ a.b }} {{ brand.name }} {% for l in lines %}{{ l.x }}{% endfor %}{% if c %}{{ c }}{% endif %}")
    template = made({**source, "locales": {"de": {"channels": {"sms": {"body": "{{ d }} {{ data.e }}"}}}}})
    assert set(template.variables) == {"a", "lines", "d", "e"} and not template.uses_user
    assert template.schema["properties"]["lines"]["items"]["required"] == ["x"] and "c" in template.schema["properties"]
    declared = {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["b"]}
    template = made(sms("{{ a }}", variables=declared))
    assert (template.variables, template.schema) == (("b",), declared)
    error = refused(sms("{{ a }} {{ z.y }}", variables=declared))
    assert (error.field, error.code) == ("channels.sms.body", "undeclared_variable") and "z" in error.detail


@pytest.mark.parametrize(
    ("source", "field", "place"),
    [
        (sms("a\n  {{ x | nope }}"), "channels.sms.body", "line 2"),
        (sms("a\n{% if x %}"), "channels.sms.body", "line 2"),
        (sms("{% t hi %}", locales={"en": {"messages": {"hi": "\n\n{{ x | nope }}"}}}), "locales.en.messages.hi", "line 3"),
        (sms("x", locales={"en": {"messages": {"n": {"one": "{{ x | nope }}", "other": ""}}}}), "locales.en.messages.n.one", "line 1"),
        (sms("x", locales={"de": {"channels": {"sms": {"body": "{% endif %}"}}}}), "locales.de.channels.sms.body", "line 1"),
        (sms("x", text="\n{% nope %}"), "text", "line 2"),
        ({"channels": {"push": {"data": {"a": ["{{ x | nope }}"]}}}}, "channels.push.data", "line 1"),
        ({"channels": {"email": {"subject": "s", "mjml": "<mj-text>\n{% t a %} {{ x | nope }}</mj-text>"}},
          "locales": {"en": {"messages": {"a": "\n\n\n"}}}}, "channels.email.mjml", "line 2"),
        (sms("{% partial p %}"), "partials.p", "line 2"),
    ],
)  # fmt: skip
def test_syntax_errors_are_reported_at_their_place_in_the_source(source, field, place):
    error = refused(source, p="\n{{ x | nope }}") if "partial" in str(source) else refused(source)
    assert (error.field, error.code) == (field, "template_syntax") and error.detail.startswith(place)


@pytest.mark.parametrize(
    ("source", "field", "code"),
    [
        (sms("{% t nope %}"), "channels.sms.body", "unknown_message"),
        (sms("x", text="{% t nope %}"), "text", "unknown_message"),
        (sms("{% t n %}", locales={"en": {"messages": EN}}), "channels.sms.body", "message_form"),
        (sms("{% partial nope %}"), "channels.sms.body", "unknown_partial"),
        (sms("x", locales={"de": {"channels": {"sms": {"body": "{% t nope %}"}}}}), "locales.de.channels.sms.body", "unknown_message"),
        (sms("x", layout="nope"), "layout", "unknown_layout"),
        ({"channels": {"email": {"subject": "{% t two %}", "text": "x"}}, "locales": {"en": {"messages": {"two": "a\nb"}}}},
         "channels.email.subject", "invalid_field"),
        ({"channels": {"email": {"subject": "s", "mjml": "<mj-text"}}}, "channels.email.mjml", "mjml_syntax"),
        ({"channels": {"email": {"subject": "s", "mjml": "<mj-text>x</mj-text>", "html": "x"}}}, "channels.email.html", "invalid_field"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_built_is_named(source, field, code):
    error = refused(source)
    assert (error.field, error.code) == (field, code)


def test_a_missing_message_names_the_locales_it_was_looked_for_in():
    assert (
        "greeting in pt-BR, pt, en"
        in refused(sms("x", locales={"pt-BR": {"channels": {"sms": {"body": "{% t greeting %}"}}}})).detail
    )


def test_a_layout_of_the_other_language_is_refused():
    error = refused(
        {"channels": {"email": {"subject": "s", "html": "x"}}, "layout": "l"},
        Layout(html="{{content}}", engine="handlebars"),
    )
    assert (error.field, error.code) == ("layout", "engine_mismatch")


def test_a_fault_of_a_layout_is_reported_as_such():
    source = {"channels": {"email": {"subject": "s", "html": "x"}}, "layout": "l"}
    assert refused(source, Layout(html="\n{{ content }}{% if %}")).field == "layout.html"
    assert refused(source, Layout(html="{{ content }}", text="{{ content }}{% t a %}")).field == "layout.text"
    broken = Layout(html="{{ content }}", locales={"de": Translation({"a": "{{ x | nope }}"})})
    assert refused(source, broken).field == "layout.locales.de.messages.a"


def test_a_source_that_is_too_long_is_refused():
    assert "longer than" in refused(sms("x" * (TEMPLATE_BYTES_MAX + 1))).detail


def test_handlebars():
    source = {
        "engine": "handlebars",
        "channels": {"email": {"subject": '{{t "hi"}}', "html": '<p>{{> p}} {{t "n" count=n}}</p>'}},
        "locales": {"en": {"messages": {"hi": "Hi {{user.name}}", "n": EN["n"]}}},
    }
    partials = {"p": Partial("<b>{{x}}</b>", "handlebars")}
    template = build(BuildJob("k", msgspec.convert(source, Source), None, partials), ENGINES)
    mail = template.parts[Channel.EMAIL]
    context = {"data": {}, "user": {"name": "<Ada>"}, "n": 2, "x": "<x>", "_locale": "en", "_zone": "UTC", "_at_ms": 0}
    assert ENGINES["handlebars"].compile(mail["subject"], html=False)(context) == "Hi <Ada>"
    assert ENGINES["handlebars"].compile(mail["html"], html=True)(context) == "<p><b>&lt;x&gt;</b> 2 things</p>"
    assert ENGINES["handlebars"].compile(mail["text"], html=False)(context) == "<x> 2 things"
    assert set(template.variables) == {"n", "x"} and template.uses_user


def test_handlebars_in_a_layout_of_handlebars():
    layout = Layout(
        mjml=FRAME.replace("{{ content }}", '{{{content}}}<mj-text>{{t "bye"}}</mj-text>'), text="{{content}} {{> p}}"
    )
    layout = msgspec.structs.replace(
        layout, engine="handlebars", locales={"en": Translation({"bye": "Bye {{brand.name}}"})}
    )
    mjml = "{{#each xs}}<mj-text>{{this}}</mj-text>{{else}}<mj-text>nobody</mj-text>{{/each}}"
    source = {"engine": "handlebars", "channels": {"email": {"subject": "s", "mjml": mjml}}, "layout": "l"}
    partials = {"p": Partial("--", "handlebars")}
    mail = build(BuildJob("k", msgspec.convert(source, Source), layout, partials), ENGINES).parts[Channel.EMAIL]
    context = {"data": {}, "user": {}, "xs": ["<1>", "<2>"], "brand": {"name": "A&B"}, "_locale": "en", "_zone": "UTC"}
    html = ENGINES["handlebars"].compile(mail["html"], html=True)(context)
    assert html.index("&lt;1&gt;") < html.index("&lt;2&gt;") < html.index("Bye A&amp;B") and "nobody" not in html
    assert ENGINES["handlebars"].compile(mail["text"], html=False)(context).split() == ["<1>", "<2>", "--"]


def test_unescaped_html_of_handlebars_is_refused_from_any_source():
    source = {
        "engine": "handlebars",
        "channels": {"email": {"subject": "s", "html": '<p>{{t "hi"}}</p>'}},
        "locales": {"en": {"messages": {"hi": "{{{name}}}"}}},
    }
    error = refused(source)
    assert (error.field, error.code) == ("channels.email.html", "template_syntax")
