"""Folders of templates: a written folder reads back equal, and each fault is reported with its file and line."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.content.files.folder import Folder
from clarion.content.files.reading import Reading
from clarion.content.files.writing import written
from clarion.domain.channel import Channel
from clarion.domain.template import Brand, Layout, Partial, Sample, Source, Translation
from tests.unit.content.folders import FOLDERS, KEYS

SHIPPED = {
    "templates/shipped/template.toml": """\
description = "Your parcel"
category = "orders"
layout = "default"

[channels.email]
subject = "{% t subject %}"
mjml = {file = "email.mjml"}

[channels.push]
title = 'Order "{{ order.number }}"'

[channels.push.data]
order = "{{ order.number }}"

[channels.chat]
blocks = {file = "blocks.json"}
""",
    "templates/shipped/email.mjml": "<mj-section>\n</mj-section>\n",
    "templates/shipped/blocks.json": '[{"type": "section", "fields": [null]}]\n',
    "templates/shipped/messages.en.toml": 'subject = "Shipped"\n[parcels]\none = "A parcel"\nother = "Parcels"\n',
    "templates/shipped/messages.de.toml": 'subject = "Unterwegs"\n',
    "templates/shipped/channels.de.toml": '[sms]\nbody = "Paket"\n',
    "templates/shipped/sample.json": '{"data": {"order": {"number": 7}}, "user": {"name": "Ada"}}\n',
    "templates/shipped/variables.schema.json": '{"type": "object"}\n',
    "layouts/default/layout.toml": 'mjml = {file = "layout.mjml"}\n',
    "layouts/default/layout.mjml": "<mjml>{{ content }}</mjml>\n",
    "partials/foot.liquid": "Bye\n",
    "brand.toml": 'name = "Acme"\n',
    "categories.toml": '[orders]\npriority = "high"\n',
    "README.md": "Ours.\n",
}


def problems(files):
    return [str(problem) for problem in Reading(files).problems]


def test_a_folder_describes_a_whole_template():
    folder = Reading(SHIPPED).folder
    assert folder.templates == {
        "shipped": Source(
            channels={
                Channel.EMAIL: {"subject": "{% t subject %}", "mjml": "<mj-section>\n</mj-section>"},
                Channel.PUSH: {"title": 'Order "{{ order.number }}"', "data": {"order": "{{ order.number }}"}},
                Channel.CHAT: {"blocks": [{"type": "section", "fields": [None]}]},
            },
            description="Your parcel",
            category="orders",
            layout="default",
            locales={
                "en": Translation({"subject": "Shipped", "parcels": {"one": "A parcel", "other": "Parcels"}}),
                "de": Translation({"subject": "Unterwegs"}, {Channel.SMS: {"body": "Paket"}}),
            },
            variables={"type": "object"},
            sample=Sample({"order": {"number": 7}}, {"name": "Ada"}),
        )
    }
    assert folder.layouts == {"default": Layout(mjml="<mjml>{{ content }}</mjml>")}
    assert folder.partials == {"foot": Partial("Bye")}
    assert folder.brand == Brand(name="Acme")
    assert folder.categories["orders"].priority == "high"
    assert problems(SHIPPED) == []


@given(FOLDERS)
@pytest.mark.slow
def test_a_written_folder_reads_back_equal_and_is_written_the_same_again(folder):
    files = written(folder)
    reading = Reading(files)
    assert [str(problem) for problem in reading.problems] == []
    assert reading.folder == folder
    assert written(reading.folder) == files
    sent = msgspec.json.decode(msgspec.json.encode(folder), type=Folder)
    assert written(sent) == files


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("templates/shipped/template.toml", "x = [", "templates/shipped/template.toml:1: Invalid"),
        ("templates/shipped/template.toml", "channels = {}\n\nx = = 1", "templates/shipped/template.toml:3: Invalid"),
        ("templates/shipped/template.toml", "channels = {}\nlocale = 3", "template.toml:2: locale: Expected `str`"),
        ("templates/shipped/template.toml", "channels = {}\n[sample]", "template.toml:2: sample belongs into sample.json"),
        ("templates/shipped/template.toml", "[channels.sms]\nbody = {file = 'x'}", "template.toml:2: channels.sms.body: there is no file x"),
        ("templates/shipped/template.toml", "[channels.fax]\nbody = 'x'", "template.toml:1: channels.fax: no such channel"),
        ("templates/shipped/template.toml", "[channels.push]\ndata = {day = 2026-01-01}", "template.toml:2: channels.push.data: holds a date"),
        ("templates/shipped/template.toml", "[channels.push]\ndata = {n = [nan]}", "template.toml:2: channels.push.data: holds a date or a"),
        ("templates/shipped/template.toml", "x = " + "9" * 9000, "templates/shipped/template.toml:1: Exceeds"),
        ("templates/shipped/extra.html", "<p>", "templates/shipped/extra.html: is not used"),
        ("templates/shipped/messages.xx.toml", "a = 'b'", "messages.xx.toml: no such locale: xx"),
        ("templates/shipped/messages.pt_br.toml", "a = 'b'", "messages.pt_br.toml: the locale is spelled pt-BR"),
        ("templates/shipped/messages.de.toml", "a = 'b'\nb = 3", "messages.de.toml:2: locales.de.messages.b: Expected"),
        ("templates/shipped/blocks.json", '[\n{"a": }]', "templates/shipped/blocks.json:2: Expecting value"),
        ("templates/shipped/sample.json", '{"data": NaN}', "templates/shipped/sample.json: NaN is not JSON"),
        ("templates/shipped/sample.json", "[" * 100_000, "templates/shipped/sample.json: maximum recursion"),
        ("templates/other/email.mjml", "<p>", "templates/other: has no template.toml"),
        ("layouts/default/channels.de.toml", "[sms]", "layouts/default/channels.de.toml: is not used"),
        ("partials/foot.hbs", "x", "partials/foot."),
        ("partials/foot.txt", "x", "partials/foot.txt: has none of the extensions .liquid, .hbs"),
        ("partials/no way.hbs", "x", "partials/no way.hbs: no way: must be 1-128 letters"),
        ("brand.toml", 'name = "Acme"\ncolour = "red"', "brand.toml:2: colour: Object contains unknown field"),
        ("categories.toml", "[a]\npriority = 7", "categories.toml:2: a.priority: Expected `str`"),
        ("notes.txt", "", "notes.txt: is not a file of a template"),
        ("templates/a/b/c.txt", "", "templates/a/b/c.txt: is not a file of a template"),
    ],
)  # fmt: skip
def test_a_fault_is_reported_with_file_and_line(path, text, problem):
    found = problems({**SHIPPED, path: text})
    assert any(problem in one for one in found), found


def test_one_bad_template_does_not_hide_another():
    files = {**SHIPPED, "templates/bad/template.toml": "= 1", "templates/worse/template.toml": "= 2"}
    reading = Reading(files)
    assert len(reading.problems) == 2
    assert list(reading.folder.templates) == ["shipped"]


@pytest.mark.parametrize(
    ("field", "detail", "place"),
    [
        ("channels.email.subject", "is long", "templates/shipped/template.toml:6: channels.email.subject: is long"),
        ("channels.email.mjml", "line 2, column 3: no", "templates/shipped/email.mjml:2: channels.email.mjml: column 3: no"),
        ("channels.push.data.order", "no", "templates/shipped/template.toml:13: channels.push.data.order: no"),
        ("locales.en.messages.parcels.other", "no", "templates/shipped/messages.en.toml:4: locales.en.messages.parcels.other: no"),
        ("locales.de.channels.sms.body", "no", "templates/shipped/channels.de.toml:2: locales.de.channels.sms.body: no"),
        ("variables", "no", "templates/shipped/variables.schema.json:1: variables: no"),
        ("nowhere", "no", "templates/shipped/template.toml: nowhere: no"),
        (None, "no", "templates/shipped/template.toml: no"),
    ],
)  # fmt: skip
def test_a_field_of_the_api_is_found_in_the_files(field, detail, place):
    where, what = Reading(SHIPPED).places["template", "shipped"].explain(field, detail)
    assert f"{where}: {what}" == place


def test_lines_are_right_after_multi_line_texts():
    text = '[channels.sms]\nbody = """\na = 1\n[channels.push]\nb"""\n[channels.push]\ntitle = \'\'\'x\ny\'\'\'\nbody = "z"\n'
    places = Reading({"templates/a/template.toml": text}).places["template", "a"]
    assert str(places.of("channels.push.body")) == "templates/a/template.toml:9"
    assert str(places.explain("channels.sms.body", "line 3: no")[0]) == "templates/a/template.toml:5"


LINES = st.sampled_from([
    "[channels.push]", "[channels.email]", "[hello]", "[[a]]", 'body = """', '"""', "'''", "data = {file = 'x.json'}", "a.b.c = 1",
    "subject = 'x'", "locale = 'en'", "channels = 3", '"a b" = [1, {b = 2}]', "one = 'x'", "engine = 'x'", "[", "= 1", "sample = 1",
    "{", '"data": []', "}", "9" * 5000, "2026-01-01", "\u2028", "# x",
])  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from([*sorted(SHIPPED), "templates/shipped/x.json"]), st.lists(LINES, max_size=6).map("\n".join)
    )
)
def test_any_files_are_read_or_reported_by_path(files):
    for problem in Reading(SHIPPED | files).problems:
        assert str(problem).startswith(("templates/", "layouts/", "partials/", "brand.toml", "categories.toml"))


@given(
    st.dictionaries(
        KEYS.filter(lambda key: "." not in key and ":" not in key), st.text("ab =[]\n\"'#", max_size=40), max_size=6
    )
)
def test_places_are_the_lines_of_the_keys(messages):
    made = Folder(templates={"a": Source(channels={}, locales={"en": Translation(messages)})})
    files = written(made)
    places = Reading(files).places["template", "a"]
    for key, text in messages.items():
        place = places.of(f"locales.en.messages.{key}")
        begins = place.line - ("\n" in text)  # a text of several lines begins on the one after its key
        assert files[place.path].split("\n")[begins - 1].startswith(f"{key} = ")
