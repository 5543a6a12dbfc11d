"""Made-up templates with messages."""

from functools import cache

from hypothesis import strategies as st

from clarion.control.templates.translations import sheet_of
from clarion.domain.content import Template
from clarion.domain.template import Source, TemplateVersion, Translation

LOCALES = st.sampled_from(["de", "es", "ru", "ar", "ja", "pt-BR", "cy", "fr", "zh-Hant-TW"])
KEYS = st.from_regex(r"[A-Za-z0-9_.-]{1,10}", fullmatch=True)
TAGS = {
    "liquid": ["{{ user.name }}", "{{ n }}", '{{ a | replace: "<", "&" }}', "{% if x %}", "{% endif %}", "{{ n }}"],
    "handlebars": ["{{user.name}}", "{{{n}}}", '{{money total "EUR"}}', "{{#if x}}", "{{/if}}", "{{{n}}}"],
}


@cache
def texts(engine, chars):
    pieces = st.one_of(
        st.text(chars, max_size=12),
        st.sampled_from(TAGS[engine]),
        st.sampled_from(["\n", "\r", "\r\n", '"', "\\", "\\n", "]]>", "&amp;", "<b>", " ", "%d", "#~ ", "msgid", "ä"]),
    )
    return st.lists(pieces, max_size=6).map("".join)


@cache
def messages(engine, chars):
    text = texts(engine, chars)
    plural = st.dictionaries(st.sampled_from(["zero", "one", "two", "few", "many"]), text, max_size=3)
    chosen = st.dictionaries(st.sampled_from(["female", "male", "x_1"]), text, min_size=1, max_size=2)
    forms = st.tuples(st.one_of(plural, chosen), text).map(lambda pair: {**pair[0], "other": pair[1]})
    return st.dictionaries(KEYS, st.one_of(text, forms), max_size=5)


@st.composite
def sources(draw, chars):
    """Draw a template in English with messages in another locale, equal and different ones, and that locale."""
    engine, locale = draw(st.sampled_from(sorted(TAGS))), draw(LOCALES)
    made = messages(engine, chars)
    own = draw(made)
    other = draw(made) | {key: draw(anything(engine, chars)) or "x" for key in own if draw(st.booleans())}
    locales = {"en": Translation(own), locale: Translation(other)}
    about = draw(st.text(chars, max_size=20))
    return Source(channels={}, description=about, engine=engine, locales=locales), locale


@cache
def anything(engine, chars):
    return messages(engine, chars).flatmap(lambda found: st.sampled_from([*found.values(), ""]))


def sheet(source, locale):
    built = Template("order-shipped", 3, None, {})
    return sheet_of(TemplateVersion("order-shipped", 3, source, built, True, 1_700_000_000_000, "key"), locale)
