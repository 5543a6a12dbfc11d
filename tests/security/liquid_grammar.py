"""Strategies for Liquid sources that use data in many ways, and for data full of special characters."""

import base64
from urllib.parse import quote

from hypothesis import strategies as st

EVIL = "a<script x='1'>&lt;b&gt;\n\"q\" y=%3Ci%3E z"
TAME = str.maketrans("<>\"'&%=", "lgdsapq")


def context(text):
    """Return data with a text in several encodings."""
    data = {
        "x": text,
        "entities": text.replace("<", "&lt;").replace(">", "&gt;"),
        "quoted": quote(text),
        "coded": base64.b64encode(text.encode()).decode(),
        "list": [text, "b", text],
        "rows": [{"k": text}, {"k": "z"}],
        "n": 3,
    }
    return {**data, "data": data, "user": {"name": text}, "_locale": "en", "_zone": "UTC", "_at_ms": 0}


PATHS = st.sampled_from(
    "x entities quoted coded list rows data.x user.name list[0] rows[0].k kept held piece".split()  # noqa: SIM905
)
SPECIAL_TEXTS = st.sampled_from(
    ["'<'", "'>'", "'&lt;'", "'&gt;'", "'&#39;'", "'&#34;'", "'lt;'", "'amp;'", "'&'", "'\"'", '"\'"', "'%3C'", "'<i'", "'a'", "''"]
)  # fmt: skip
QUIET_TEXTS = st.sampled_from(["'a'", "'b'", "' '", "'amp;'", "'%3C'"])
NUMBERS = st.integers(-5, 60).map(str)
ALONE = (
    "escape escape_once newline_to_br strip_newlines url_encode url_decode base64_encode base64_decode upcase downcase "
    "base64_url_safe_encode base64_url_safe_decode capitalize strip lstrip rstrip squish first last reverse sort uniq "
    "sort_natural compact join escapejs size format_list abs"
)


def use(names, *arguments):
    """Return uses of filters with these arguments."""
    if not arguments:
        return st.sampled_from(names.split())
    return st.tuples(st.sampled_from(names.split()), *arguments).map(lambda it: f"{it[0]}: {', '.join(it[1:])}")


def expressions(texts):
    """Return values of the data, and texts, through chains of filters."""
    values = texts | PATHS
    filters = st.one_of(
        use(ALONE),
        use("append prepend remove remove_first remove_last split join date", values),
        use("replace replace_first replace_last", values, values),
        use("map where find sort sum compact", st.just("'k'")),
        use("truncate truncatewords", NUMBERS, values),
        use("slice", NUMBERS, NUMBERS),
        use("concat", st.just("list")),
        use("default", QUIET_TEXTS | PATHS),
    )
    return st.builds(lambda value, chain: " | ".join([value, *chain]), values, st.lists(filters, max_size=5))


def statements(texts):
    """Return tags that print and keep values."""
    return st.one_of(
        expressions(texts).map("{{{{ {} }}}}".format),
        expressions(texts).map("{{% echo {} %}}".format),
        expressions(texts).map("{{% assign kept = {} %}}".format),
        st.tuples(texts | PATHS, texts | PATHS).map(lambda it: f"{{% cycle {it[0]}, {it[1]} %}}"),
    )


WRITTEN = st.sampled_from(["<i>", "</i>", "text", '<a href="', '">', "&amp;", " "])
ANY = st.lists(statements(SPECIAL_TEXTS) | WRITTEN, max_size=3).map("".join)
# The number of iterations may depend on the data, so a loop prints no special characters of its own.
INNER = st.lists(statements(QUIET_TEXTS), max_size=3).map("".join)
SOURCES = st.lists(
    st.one_of(
        statements(SPECIAL_TEXTS),
        WRITTEN,
        ANY.map("{{% capture held %}}{}{{% endcapture %}}".format),
        ANY.map("{{% if n == 3 %}}{}{{% endif %}}".format),
        ANY.map("{{% case n %}}{{% when 3 %}}{}{{% endcase %}}".format),
        INNER.map("{{% ifchanged %}}{}{{% endifchanged %}}".format),
        st.builds("{{% assign over = {} %}}{{% for piece in over %}}{}{{% endfor %}}".format, expressions(SPECIAL_TEXTS), INNER),
    ),
    min_size=1,
    max_size=6,
).map(lambda pieces: "{% assign kept = x %}{% assign held = '' %}{% assign piece = '' %}" + "".join(pieces))  # fmt: skip
