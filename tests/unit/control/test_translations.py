"""Export of messages to translators and import: nothing is lost, and nothing is imported that was not exported."""

import contextlib
import re
from xml.etree import ElementTree

import polib
import pytest
from babel import Locale, localedata
from hypothesis import given
from hypothesis import strategies as st

from clarion.app.cli.template_files.disk import shipped
from clarion.control.templates import po, xliff
from clarion.control.templates.translations import LocaleReport, TranslatorFile, Unit, merged, report, units
from clarion.domain.errors import InvalidField, Malformed
from clarion.domain.limits_content import XML_LEVELS_MAX
from clarion.domain.template import Source, Translation
from tests.unit.control.sheets import sheet, sources

XML_CHARS = st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=("Cc", "Cs"))
PO_CHARS = st.characters(codec="utf-8")
SAY = "{urn:oasis:names:tc:xliff:document:1.2}"
ENGLISH = {
    "subject": "Order {{ number }}",
    "items": {"one": "One thing, {{ user.name }}", "other": "{{ n }} things, {{ user.name }}"},
    "greeting": {"female": "Dear Ms {{ user.name }}", "other": "Dear {{ user.name }}"},
    "bye": "Bye",
}


def source(locale="de", messages=None, channels=None, **english):
    locales = {"en": Translation(ENGLISH | english), locale: Translation(messages or {}, channels or {})}
    return Source(channels={}, locales=locales)


def put(texts, messages=None, locale="de"):
    return merged(source(locale, messages), locale, TranslatorFile("", texts))


@pytest.mark.slow
@given(sources(XML_CHARS))
def test_xliff_round_trips(made):
    one, locale = made
    out = sheet(one, locale)
    returned = xliff.read(xliff.written(out), out)
    assert returned.targets == {unit.id: unit.target for unit in out.units if unit.target}
    assert returned.sources == {unit.id: unit.source for unit in out.units}
    if not returned.targets:
        return
    done = merged(one, locale, returned)
    assert (done.source, done.changed, done.unknown, done.outdated) == (one, (), (), ())


@pytest.mark.slow
@given(sources(PO_CHARS))
def test_po_round_trips(made):
    one, locale = made
    out = sheet(one, locale)
    returned = po.read(po.written(out), out)
    known = set(po.categories(locale))
    expected = {u.id: u.target for u in out.units if u.target and (not u.plural or u.form in known)}
    assert returned.targets == expected
    assert returned.locale in ("", locale)
    if returned.targets:
        done = merged(one, locale, returned)
        assert (done.source, done.changed, done.unknown, done.outdated) == (one, (), (), ())


@pytest.mark.slow
@given(sources(XML_CHARS))
def test_xliff_follows_the_standard(made):
    one, locale = made
    out = sheet(one, locale)
    root = ElementTree.fromstring(xliff.written(out))  # noqa: S314 - ours
    (file,) = root
    assert (root.tag, root.get("version")) == (f"{SAY}xliff", "1.2")
    assert {"original", "source-language", "datatype"} <= set(file.keys())
    assert (file.get("source-language"), file.get("target-language")) == ("en", locale)
    *head, body = file
    assert [child.tag for child in head] == [f"{SAY}header"] * bool(one.description)
    assert body.tag == f"{SAY}body"
    found = list(body.iter(f"{SAY}trans-unit"))
    ids = [unit.get("id") for unit in found]
    assert len(ids) == len(set(ids)) == len(out.units)
    for unit in found:
        names = [child.tag.removeprefix(SAY) for child in unit]
        assert re.fullmatch(r"source( target)?( note)*", " ".join(names))
        holes = [hole.get("id") for hole in unit.find(f"{SAY}source")]
        assert len(holes) == len(set(holes))


@pytest.mark.slow
@given(sources(XML_CHARS.filter(lambda character: not character.isspace())))
def test_po_is_read_alike_by_another_library(made):
    one, locale = made
    out = sheet(one, locale)
    others = polib.pofile(po.written(out).decode())
    by_context = {entry.msgctxt: entry for entry in others}
    for unit in out.units:
        entry = by_context[unit.key if unit.plural else unit.id]
        if not unit.plural:
            assert (entry.msgid, entry.msgstr) == (unit.source, unit.target or "")
        elif unit.form in po.categories(locale):
            assert entry.msgstr_plural[po._order(locale).index(unit.form)] == (unit.target or "")
    assert others.metadata["Language"].replace("_", "-") == locale


@pytest.mark.slow
def test_plural_forms_of_po_match_the_cldr():
    for tag in localedata.locale_identifiers():
        locale = tag.replace("_", "-")
        forms, rule = po._order(locale), Locale.parse(tag).plural_form
        choose = po._choice(po.plural_forms(locale))
        for count in (*range(120), 1_000_000, 1_234_567):
            assert forms[choose(count)] == rule(count), (tag, count)


def test_a_plural_has_a_unit_for_each_form_of_the_target_language():
    found = [unit for unit in units(source("ru"), "ru") if unit.key == "items"]
    assert [(unit.id, unit.source) for unit in found] == [
        ("items[one]", ENGLISH["items"]["one"]),
        ("items[few]", ENGLISH["items"]["other"]),
        ("items[many]", ENGLISH["items"]["other"]),
        ("items[other]", ENGLISH["items"]["other"]),
    ]
    assert Unit("greeting", "Dear Ms {{ user.name }}", None, "female") in units(source("ru"), "ru")


def test_exports_name_the_place_of_each_message():
    result = Source(
        channels={
            "email": {"subject": "{% t bye %}", "html": "<p>{% t items, count: n %}{% t bye %}</p>"},
            "push": {"data": {"a": ["{% t bye %}"]}},
        },
        description="Orders & more",
        locales={"en": Translation(ENGLISH)},
        text="{% t bye %}",
    )
    as_xliff, as_po = xliff.written(sheet(result, "de")).decode(), po.written(sheet(result, "de")).decode()
    assert "<note>Used in email.subject, email.html, push.data, text</note>" in as_xliff
    assert "<header><note>Orders &amp; more</note></header>" in as_xliff
    assert '#. Used in email.subject, email.html, push.data, text\nmsgctxt "bye"' in as_po
    assert '#. Keep as it is: {{ user.name }} {{ n }}\nmsgctxt "items"' in as_po
    assert "# Orders & more\n" in as_po


def test_texts_are_imported_and_the_rest_is_reported():
    done = put({"subject": "{{ number }} bestellt", "items[other]": "{{ n }} Dinge, {{ user.name }}", "old": "x"})
    assert done.source.locales["de"].messages == {
        "subject": "{{ number }} bestellt",
        "items": {"other": "{{ n }} Dinge, {{ user.name }}"},
    }
    assert done.source.locales["en"].messages == ENGLISH
    assert (done.changed, done.unknown) == (("subject", "items[other]"), ("old",))
    assert done.missing == ("items[one]", "greeting[female]", "greeting[other]", "bye")


def test_parts_and_messages_that_were_not_translated_stay():
    before = source("de", {"bye": "Tschüss", "mine": "x"}, {"sms": {"body": "SMS"}})
    after = merged(before, "de", TranslatorFile("de", {"subject": "Bestellung {{ number }}"})).source
    assert after.locales["de"].channels == {"sms": {"body": "SMS"}}
    assert after.locales["de"].messages == {"bye": "Tschüss", "mine": "x", "subject": "Bestellung {{ number }}"}


def test_a_message_without_a_text_for_all_other_numbers_gets_its_last():
    done = put({"items[one]": "Одна, {{ user.name }}", "items[many]": "{{ n }} штук, {{ user.name }}"}, locale="ru")
    assert done.source.locales["ru"].messages["items"]["other"] == "{{ n }} штук, {{ user.name }}"


@pytest.mark.parametrize(
    ("unit", "text", "code"),
    [
        ("subject", "Bestellung", "placeholder_missing"),
        ("subject", "Bestellung {{ numer }}", "placeholder_missing"),
        ("subject", "Bestellung {{ number }} {{ user.email }}", "placeholder_unknown"),
        ("subject", "{{ number }}{% include 'x' %}", "placeholder_unknown"),
        ("items[other]", "Dinge, {{ user.name }}", "placeholder_missing"),
        ("items[one]", "Ein Ding", "placeholder_missing"),
        ("greeting[female]", "Liebe Frau", "placeholder_missing"),
        ("nothing", "x", "unknown_units"),
    ],
)
def test_a_text_with_other_placeholders_is_refused_by_its_unit(unit, text, code):
    with pytest.raises(InvalidField) as refused:
        put({unit: text})
    assert (refused.value.field, refused.value.code) == (unit, code)


@pytest.mark.parametrize("text", ["Ein Ding, {{ user.name }}", "{{ n }} Ding, {{ user.name }}"])
def test_the_number_may_be_omitted_in_the_form_for_one(text):
    assert put({"items[one]": text}).changed == ("items[one]",)


def test_stored_texts_are_not_checked_again():
    assert put({"subject": "Ohne"}, {"subject": "Ohne"}).changed == ()


def test_texts_with_a_changed_source_are_reported():
    returned = TranslatorFile("de", {"bye": "Tschüss"}, {"bye": "Goodbye", "subject": ENGLISH["subject"], "gone": "x"})
    assert merged(source(), "de", returned).outdated == ("bye",)


def test_a_report_lists_present_inherited_missing_unknown_and_incomplete_texts():
    one = Source(
        channels={},
        locales={
            "en": Translation(ENGLISH),
            "pt": Translation({"bye": "Tchau"}),
            "pt-BR": Translation({"items": {"other": "x"}, "mine": "y"}, {"email": {"html": "<p>"}}),
        },
    )
    assert report(one, "pt-BR") == LocaleReport(
        present=("items",),
        inherited=("bye",),
        missing=("subject", "greeting"),
        unknown=("mine",),
        incomplete=("items",),
        parts=("email.html",),
    )


def document(body="", root="xliff", version="1.2", head='<?xml version="1.0"?>'):
    return f'{head}<{root} version="{version}"><file target-language="de"><body>{body}</body></file></{root}>'.encode()


def unit(target, id="subject"):
    return f'<trans-unit id="{id}"><source>s</source>{target}</trans-unit>'


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("<target>Nr. <ph id='1'>{{ number }}</ph></target>", "Nr. {{ number }}"),
        ("<target>Nr. <ph id='1'/></target>", "Nr. {{ number }}"),
        ("<target>Nr. <x id='1'/>!</target>", "Nr. {{ number }}!"),
        ("<target>Nr. <x id='7' equiv-text='{{ x }}'/></target>", "Nr. {{ x }}"),
        ("<target>Nr. {{ number }}</target>", "Nr. {{ number }}"),
        ("<target><mrk mtype='seg'><g id='2'>Nr.</g></mrk> <x id='1'/></target>", "Nr. {{ number }}"),
        ("<target state='needs-translation'>Order</target>", None),
        ("<target/>", None),
        ("", None),
    ],
)
def test_xliff_of_other_tools_is_understood(target, text):
    returned = xliff.read(document(unit(target)), sheet(source(), "de"))
    assert returned.targets.get("subject") == text
    assert returned.locale == "de"


def test_renumbered_units_are_found_by_name():
    body = '<trans-unit id="17" resname="bye"><source>Bye</source><target>Tschüss</target></trans-unit>'
    assert xliff.read(document(body), sheet(source(), "de")).targets == {"bye": "Tschüss"}


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "raw",
    [
        document(unit("<target>&b;</target>"), head=LAUGHS),
        document(unit("<target>&x;</target>"), head='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        document(head='<!DOCTYPE xliff SYSTEM "http://127.0.0.1/x.dtd">'),
        document(head='<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]>').decode().encode(),
        document(unit("<target>&x;</target>")),
        document(root="html"),
        document(version="2.0"),
        document("<g>" * XML_LEVELS_MAX + "</g>" * XML_LEVELS_MAX),
        "<xliff>".encode("utf-16"),
        b"",
        b"\xff",
        b"<xliff",
        b"msgid",
    ],
)
def test_foreign_or_hostile_xml_is_refused(raw):
    with pytest.raises(Malformed):
        xliff.read(raw, sheet(source(), "de"))


def test_texts_that_xml_cannot_hold_are_refused_by_name():
    with pytest.raises(InvalidField) as refused:
        xliff.written(sheet(source(bye="a\x0b"), "de"))
    assert refused.value.field == "messages.bye"


PO = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n"Language: ru\\n"\n'
RUSSIAN = (
    '"Plural-Forms: nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\\n"\n'
    '\nmsgctxt "items"\nmsgid "a"\nmsgid_plural "b"\nmsgstr[0] "0"\nmsgstr[1] "1"\nmsgstr[2] "2"\n'
)


def test_po_is_read_by_its_own_header():
    returned = po.read((PO + RUSSIAN).encode(), sheet(source("ru"), "ru"))
    assert returned.targets == {"items[one]": "0", "items[few]": "1", "items[many]": "2"}


def test_fuzzy_obsolete_and_empty_entries_of_po_are_left_out():
    entries = '#, fuzzy\nmsgctxt "bye"\nmsgid "Bye"\nmsgstr "x"\n\n#~ msgctxt "subject"\n#~ msgid "a"\n#~ msgstr "b"\n'
    entries += '\nmsgctxt "other"\nmsgid "c"\nmsgstr ""\n'
    assert po.read((PO + "\n" + entries).encode(), sheet(source("ru"), "ru")).targets == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b'msgid "a',
        (PO + '"Plural-Forms: nplurals=1; plural=__import__(1);\\n"\n').encode(),
        (PO + '"Plural-Forms: nplurals=1; plural=n/0;\\n"\n').encode(),
        (PO + f'"Plural-Forms: nplurals=1; plural={"(" * 400}n{")" * 400};\\n"\n').encode(),
        (PO + '"Plural-Forms: nplurals=x; plural=n;\\n"\n').encode(),
        (PO + '"POT-Creation-Date: yesterday\\n"\n').encode(),
    ],
)
def test_files_that_are_no_po_are_refused(raw):
    with pytest.raises(Malformed):
        po.read(raw, sheet(source("ru"), "ru"))


@given(st.text(st.sampled_from('msgidstrctx_plural "\\\n[]01#~,|:;=()n%?&'), max_size=200), st.text(max_size=40))
def test_any_text_is_at_worst_refused(text, odd):
    for raw in (text.encode(), (PO + text).encode(), odd.encode("utf-8", "replace")):
        for form in (po, xliff):
            with contextlib.suppress(Malformed):
                form.read(raw, sheet(source("ru"), "ru"))


@pytest.mark.parametrize("form", [po, xliff], ids=["po", "xliff"])
def test_the_catalogue_is_complete_and_round_trips(form):
    for key, one in shipped().folder.templates.items():
        for locale in one.locales.keys() - {one.locale}:
            found = report(one, locale)
            assert (found.missing, found.unknown) == ((), ()), (key, locale)
            out = sheet(one, locale)
            done = merged(one, locale, form.read(form.written(out), out))
            assert (done.source, done.unknown, done.outdated) == (one, (), ()), (key, locale)
