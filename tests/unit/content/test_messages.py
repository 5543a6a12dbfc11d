"""Messages are inserted as text and rendered by the real engines, with the plural forms of each language."""

import pytest

from clarion.app.wiring.engines import template_engines
from clarion.content.messages import Messages, reference, used_keys
from clarion.content.tags import tags
from clarion.domain.errors import InvalidField
from clarion.domain.template import Translation

ENGINES = template_engines()
ITEMS = {
    "en": {"one": "{{ n }} item", "other": "{{ n }} items"},
    "es": {"one": "{{ n }} artículo", "other": "{{ n }} artículos"},
    "de": {"one": "{{ n }} Artikel", "other": "{{ n }} Artikel"},
    "ru": {"one": "{{ n }} товар", "few": "{{ n }} товара", "many": "{{ n }} товаров", "other": "{{ n }} товара"},
    "ar": {
        "zero": "لا",
        "one": "واحد",
        "two": "اثنان",
        "few": "{{ n }} قليل",
        "many": "{{ n }} كثير",
        "other": "{{ n }} غير",
    },
}
TAGS = {
    "liquid": ("{% t items, count: n %}", "{% t dear, select: user.gender %}"),
    "handlebars": ('{{t "items" count=n}}', '{{t "dear" select=user.gender}}'),
}


def rendered(engine, source, **context):
    return ENGINES[engine].compile(source, html=False)({"data": context, "_locale": "en", "_zone": "UTC", **context})


@pytest.mark.parametrize("engine", ["liquid", "handlebars"])
@pytest.mark.parametrize(
    ("locale", "n", "said"),
    [
        ("en", 1, "1 item"), ("en", 0, "0 items"), ("es", 1, "1 artículo"), ("es", 2, "2 artículos"), ("de", 1, "1 Artikel"),
        ("ru", 1, "1 товар"), ("ru", 3, "3 товара"), ("ru", 11, "11 товаров"), ("ru", 21, "21 товар"),
        ("ar", 0, "لا"), ("ar", 1, "واحد"), ("ar", 2, "اثنان"), ("ar", 5, "5 قليل"), ("ar", 11, "11 كثير"), ("ar", 100, "100 غير"),
    ],
)  # fmt: skip
def test_plural_forms(engine, locale, n, said):
    translations = {tag: Translation({"items": forms}) for tag, forms in ITEMS.items()}
    source = Messages(translations, locale, "en", engine).put_into(TAGS[engine][0])
    assert rendered(engine, source, n=n) == said


@pytest.mark.parametrize("engine", ["liquid", "handlebars"])
def test_a_message_of_another_locale_takes_the_forms_of_that_one(engine):
    translations = {"ru": Translation({"items": ITEMS["ru"]})}
    source = Messages(translations, "en", "ru", engine).put_into(TAGS[engine][0])
    assert rendered(engine, source, n=3) == "3 товара"


@pytest.mark.parametrize("engine", ["liquid", "handlebars"])
@pytest.mark.parametrize(("gender", "said"), [("female", "Querida"), ("male", "Querido"), ("x", "Hola"), ("", "Hola")])
def test_selection(engine, gender, said):
    translations = {"es": Translation({"dear": {"female": "Querida", "male": "Querido", "other": "Hola"}})}
    source = Messages(translations, "es", "es", engine).put_into(TAGS[engine][1])
    assert rendered(engine, source, user={"gender": gender}) == said


def test_a_message_comes_from_the_locale_its_parents_or_the_default():
    translations = {
        "en": Translation({"a": "en a", "b": "en b", "c": "en c"}),
        "pt": Translation({"a": "pt a", "b": "pt b"}),
        "pt-BR": Translation({"a": "br a"}),
    }
    messages = Messages(translations, "pt-BR", "en", "liquid")
    assert messages.put_into({"x": ["{% t a %}", "{% t 'b' %}{%- t c -%} ."], "n": 1}) == {
        "x": ["br a", "pt ben c."],
        "n": 1,
    }


def test_quotes_of_a_message_end_no_attribute():
    translations = {"en": Translation({"a": 'the "{{ x | default: "best" }}"', "n": {"one": '"', "other": "'"}})}
    messages = Messages(translations, "en", "en", "liquid")
    source = '<img alt="{% t a %}" title="{% t n, count: n %}">{% t a %}'
    put = messages.put_into(source, html=True)
    assert rendered("liquid", put, n=1, x="<") == '<img alt="the &quot;<&quot;" title="&quot;">the "<"'
    assert rendered("liquid", messages.put_into(source), n=1, x="y").startswith('<img alt="the "y""')


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("{% t nope %}", "unknown_message", "there is no message nope in pt-BR, pt, en"),
        ("{% t items %}", "message_form", "items"),
        ("{% t %}", "template_syntax", "{% t key %}"),
        ("{% t a, count %}", "template_syntax", "{% t key, count: number %}"),
        ("{% t a b %}", "template_syntax", "{% t key %}"),
    ],
)
def test_a_message_that_cannot_be_inserted_is_named(source, code, words):
    messages = Messages({"en": Translation({"items": ITEMS["en"]})}, "pt-BR", "en", "liquid")
    with pytest.raises(InvalidField) as error:
        messages.put_into(source)
    assert error.value.code == code and words in error.value.detail


@pytest.mark.parametrize(
    ("engine", "source", "key"),
    [
        ("liquid", "{%- t a.b-c -%}", "a.b-c"),
        ("liquid", '{% t "x", count: lines[0].n %}', "x"),
        ("handlebars", "{{~t 'x'~}}", "x"),
        ("handlebars", '{{{t "x" select=../user.gender}}}', "x"),
        ("liquid", "{% tablerow %}", None),
        ("handlebars", "{{total}}", None),
        ("handlebars", "{{t}}", None),
    ],
)
def test_references(engine, source, key):
    (tag,) = tags(source, engine)
    wanted = reference(tag, engine)
    assert (wanted.key if wanted else None) == key


def test_used_keys():
    assert used_keys(["{% t a %}{% raw %}{% t b %}{% endraw %}", "{% t c, count: n %}{{ d }}"], "liquid") == {"a", "c"}
