"""Bounds of a template's source: locales and their messages, sizes, and the depth of structured parts."""

import msgspec
import pytest
from babel.localedata import locale_identifiers
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.templates.bodies import TemplateBody
from clarion.control.templates.diff import changes
from clarion.control.templates.rules import check_source
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import (
    DIFF_LINES_MAX,
    LOCALES_PER_TEMPLATE_MAX,
    MESSAGE_FORMS_MAX,
    MESSAGES_PER_LOCALE_MAX,
    TREE_DEPTH_MAX,
)
from clarion.domain.locales import canonical
from clarion.domain.template import Sample, Source, Translation

SMS = {"channels": {"sms": {"body": "x"}}}


def source_of(**change):
    return check_source(msgspec.convert({**SMS, **change}, TemplateBody))


def field_of(**change):
    with pytest.raises(InvalidField) as refused:
        source_of(**change)
    return refused.value.field


def messages(**found):
    return {"locales": {"en": {"messages": found}}}


def tree(levels):
    value = "leaf"
    for _ in range(levels):
        value = {"a": [value]} if levels % 2 else {"a": value}
    return value


def test_a_source_is_stored_with_canonical_locales():
    source = source_of(
        locale="EN_gb", locales={"zh_hant_tw": {"messages": {"a.b-c_1": "x"}}, "pt": {"channels": {"sms": {"body": "y"}}}},
        sample={"data": {"a": 1}}, layout="frame", category="news", text="t", engine="handlebars",
    )  # fmt: skip
    assert source == Source(
        {Channel.SMS: {"body": "x"}}, "", "news", "handlebars", "frame", "en-GB",
        {"zh-Hant-TW": Translation({"a.b-c_1": "x"}), "pt": Translation({}, {Channel.SMS: {"body": "y"}})}, "t", None,
        Sample({"a": 1}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"locale": "xx"}, "locale"),
        ({"locale": ""}, "locale"),
        ({"locales": {"tlh-Piqd": {}}}, "locales.tlh-Piqd"),
        ({"locales": {"de": {}, "DE": {}}}, "locales.DE"),
        ({"locales": {"de": {"channels": {"fax": {}}}}}, "locales.de.channels.fax"),
        ({"locales": {"de": {"channels": {"sms": {"text": "x"}}}}}, "locales.de.channels.sms.text"),
        ({"locales": {"de": {"channels": {"push": {"title": "x"}}}}}, "locales.de.channels.push"),
        ({"layout": "../etc"}, "layout"),
        (messages(**{"": "x"}), "locales.en.messages."),
        (messages(**{"a b": "x"}), "locales.en.messages.a b"),
        (messages(**{"a" * 129: "x"}), f"locales.en.messages.{'a' * 100}"),
        (messages(a=1), "locales.en.messages.a"),
        (messages(a=["x"]), "locales.en.messages.a"),
        (messages(a={}), "locales.en.messages.a"),
        (messages(a={"one": "x"}), "locales.en.messages.a"),
        (messages(a={"other": 1}), "locales.en.messages.a.other"),
        (messages(a={"other": "x", "ones": "y", "few": "z"}), "locales.en.messages.a.ones"),
        (messages(a={"other": "x", "a b": "y"}), "locales.en.messages.a.a b"),
        (messages(a={"other": "x", **{f"v{n}": "y" for n in range(MESSAGE_FORMS_MAX)}}), "locales.en.messages.a"),
        (messages(**{f"m{n}": "x" for n in range(MESSAGES_PER_LOCALE_MAX + 1)}), "locales.en.messages"),
        ({"sample": {"user": {"n": 1 << 64}}}, "sample.user"),
        ({"channels": {"push": {"data": {"n": 1 << 64}}}}, "channels.push.data"),
        ({"channels": {"push": {"data": tree(TREE_DEPTH_MAX + 1)}}}, "channels.push.data"),
    ],
)
def test_each_fault_is_named(change, field):
    assert field_of(**change) == field


def test_forms_are_plural_categories_or_any_other_values():
    for forms in ({"other": "x"}, {"one": "a", "few": "b", "other": "c"}, {"female": "a", "male": "b", "other": "c"}):
        assert source_of(**messages(a=forms)).locales["en"].messages["a"] == forms


def test_the_number_of_locales_is_bounded():
    spelled = {canonical(tag, "") for tag in locale_identifiers() if len(tag) == len("en_GB")}
    tags = sorted(spelled)[:LOCALES_PER_TEMPLATE_MAX]
    assert len(source_of(locales={tag: {} for tag in tags}).locales) == LOCALES_PER_TEMPLATE_MAX
    assert field_of(locales={tag: {} for tag in [*tags, "ja"]}) == "locales"


def test_a_structured_part_may_be_as_deep_as_the_bound():
    part = tree(TREE_DEPTH_MAX)
    assert source_of(channels={"push": {"data": part}}).channels[Channel.PUSH]["data"] == part


texts = st.text(alphabet="ab\n", max_size=12)
sources = st.builds(
    lambda body, text, sample: Source({Channel.SMS: {"body": body}}, text=text, sample=Sample({"x": sample})),
    texts, st.none() | texts, texts,
)  # fmt: skip


@given(sources, sources)
def test_a_diff_shows_the_differences_and_is_symmetric(before, after):
    found = changes(before, after)
    assert bool(found) == (before != after)
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    assert [(one.field, turned[one.kind]) for one in changes(after, before)] == [(one.field, one.kind) for one in found]


def test_a_diff_of_much_text_is_shortened():
    def long(mark):
        return Source({Channel.SMS: {"body": "\n".join(f"{mark} {n}" for n in range(DIFF_LINES_MAX + 1))}})

    (change,) = changes(long("a"), long("b"))
    assert change.shortened
    assert len(change.lines) <= 2 * DIFF_LINES_MAX + 1
