"""Made-up folders of templates."""

from hypothesis import strategies as st

from clarion.content.files.folder import FileCategory, Folder
from clarion.domain.channel import Channel
from clarion.domain.content import PARTS
from clarion.domain.template import Brand, Layout, Partial, Sample, Source, Translation

_CHARS = st.characters(codec="utf-8")
TEXTS = st.one_of(
    st.text(_CHARS, max_size=30),
    st.lists(st.text(_CHARS, max_size=60), max_size=9).map("\n".join),
    st.sampled_from(
        [
            "Hi {{ user.name }}",
            "\n",
            '"',
            "'''",
            '"""',
            "\\",
            '"a\\',
            "# no comment",
            "a\r\nb",
            "x" * 500 + "\n",
            "\n\n",
        ]
    ),
)
KEYS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,12}", fullmatch=True)
LOCALES = st.sampled_from(["en", "de", "pt-BR", "pt", "ar", "zh-Hant-TW", "ru"])
MESSAGES = st.dictionaries(
    TEXTS, st.one_of(TEXTS, st.dictionaries(st.sampled_from(["one", "few", "other", "female"]), TEXTS)), max_size=4
)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
TREES = st.one_of(TEXTS, OBJECTS, st.lists(JSON, max_size=3), st.fixed_dictionaries({"file": TEXTS}))


@st.composite
def channels(draw):
    return {
        channel: {
            name: draw(TREES if PARTS[channel][name].kind == "tree" else TEXTS)
            for name in draw(st.sets(st.sampled_from(sorted(PARTS[channel]))))
        }
        for channel in draw(st.sets(st.sampled_from(Channel)))
    }


ENGINES = st.sampled_from(["liquid", "handlebars"])
SOURCES = st.builds(
    Source,
    channels=channels(),
    description=TEXTS,
    category=st.none() | KEYS,
    engine=ENGINES,
    layout=st.none() | KEYS,
    locale=LOCALES,
    locales=st.dictionaries(LOCALES, st.builds(Translation, messages=MESSAGES, channels=channels()), max_size=3),
    text=st.none() | TEXTS,
    variables=st.none() | OBJECTS,
    sample=st.builds(Sample, data=OBJECTS, user=OBJECTS),
)
LAYOUTS = st.builds(
    Layout,
    text=TEXTS,
    mjml=st.none() | TEXTS,
    html=st.none() | TEXTS,
    engine=ENGINES,
    locale=LOCALES,
    locales=st.dictionaries(LOCALES, st.builds(Translation, messages=MESSAGES), max_size=2),
)
FOLDERS = st.builds(
    Folder,
    templates=st.dictionaries(KEYS, SOURCES, max_size=2),
    layouts=st.dictionaries(KEYS, LAYOUTS, max_size=2),
    partials=st.dictionaries(KEYS, st.builds(Partial, source=TEXTS, engine=ENGINES), max_size=3),
    brand=st.none() | st.builds(Brand, name=TEXTS, legal_address=TEXTS),
    categories=st.dictionaries(
        KEYS, st.builds(FileCategory, critical=st.booleans(), defaults=st.dictionaries(KEYS, st.booleans())), max_size=2
    ),
)
