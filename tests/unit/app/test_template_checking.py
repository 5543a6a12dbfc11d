"""Folders checked offline: each problem is reported with its file and line, and a valid folder has none."""

import pytest

from clarion.app.cli.template_files.check import FolderCheck
from clarion.app.cli.template_files.definitions import all_of, differences, needed
from clarion.app.cli.template_files.disk import files_in, shipped, store
from clarion.app.wiring.engines import template_engines
from clarion.content.files.folder import FileProblem
from clarion.content.files.reading import Reading
from clarion.domain.errors import OperatorError

TEMPLATE = """\
category = "news"
layout = "plain"

[channels.email]
subject = "News for {{ user.name }}"
html = {file = "email.html"}
[channels.sms]
body = "{% t hello %} {{ total | money: 'EUR' }}"
"""
GOOD = {
    "templates/news/template.toml": TEMPLATE,
    "templates/news/email.html": "<h1>News</h1>\n<p>{% t hello %}</p>{% partial foot %}\n",
    "templates/news/messages.en.toml": 'hello = "Hello"\n',
    "templates/news/messages.de.toml": 'hello = "Hallo"\n',
    "templates/news/sample.json": '{"data": {"total": 12.5}, "user": {"name": "Ada"}}',
    "layouts/plain/layout.toml": 'html = {file = "layout.html"}\n',
    "layouts/plain/layout.html": "<html><body>\n{{ content }}\n</body></html>\n",
    "partials/foot.liquid": "<p>{% partial name %}</p>\n",
    "partials/name.liquid": "{{ brand.name }}\n",
    "partials/loose.hbs": "{{total}}\n",
    "brand.toml": 'name = "Acme"\n',
    "categories.toml": '[news]\npriority = "bulk"\n',
}


def checked(files):
    checking = FolderCheck(Reading(files), template_engines())
    return [str(problem) for problem in checking.problems()], checking.warnings


def test_a_good_folder_has_no_problems_but_may_have_warnings():
    problems, warnings = checked(GOOD)
    assert problems == []
    assert any("unsubscribe" in warning for warning in warnings)
    assert all(warning.startswith("templates/news: ") for warning in warnings)


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("templates/news/email.html", "<p>\n{{ a | nothing }}</p>", "templates/news/email.html:2: channels.email.html: column "),
        ("templates/news/email.html", "{% t bye %}", "templates/news/email.html:1: channels.email.html: there is no message bye"),
        ("templates/news/email.html", "{% partial gone %}", "templates/news/email.html:1: channels.email.html: "),
        ("templates/news/messages.de.toml", 'a = "b"\nhello = "{{ a"', "templates/news/messages.de.toml:2: locales.de.messages.hello: "),
        ("templates/news/messages.de.toml", '[hello]\none = "a"', "templates/news/messages.de.toml:1: locales.de.messages.hello: "),
        ("templates/news/channels.de.toml", '[push]\ntitle = "a"', "templates/news/channels.de.toml:1: locales.de.channels.push: "),
        ("templates/news/template.toml", TEMPLATE.replace('"plain"', '"gone"'), "template.toml:2: layout: there is no layout gone"),
        ("templates/news/template.toml", TEMPLATE.replace("subject", "subjekt"), "template.toml:5: channels.email.subjekt: "),
        ("templates/news/sample.json", '{"data": {"total": "much"}}', "channels.sms: in de: "),
        ("templates/news/template.toml", f'description = "{"x" * 9000}"\n' + TEMPLATE, "template.toml:1: description: "),
        ("templates/news/sample.json", "{}", "templates/news/sample.json:1: sample.data"),
        ("templates/news/variables.schema.json", '{"type": "what"}', "templates/news/variables.schema.json:1: variables: "),
        ("templates/news/variables.schema.json", '{"required": ["gone"]}', "templates/news/sample.json:1: sample.data"),
        ("layouts/plain/layout.html", "<body></body>", "layouts/plain/layout.html:1: html: needs {{ content }} exactly once"),
        ("layouts/plain/layout.html", "<p>\n{% if %}{{ content }}</p>", "layouts/plain/layout.html:2: html: column "),
        ("partials/foot.liquid", "\n{{ a | nothing }}", "partials/foot.liquid:2: source: column "),
        ("partials/loose.hbs", "{{#if}}", "partials/loose.hbs:1: source: "),
        ("brand.toml", 'name = "A"\nlogo_url = "http://x"', "brand.toml:2: logo_url: must be an https URL"),
    ],
)  # fmt: skip
def test_a_problem_is_reported_with_file_and_line(path, text, problem):
    found, _ = checked({**GOOD, path: text})
    assert any(problem in one for one in found), found


@pytest.mark.slow
def test_the_catalogue_has_no_problems():
    checking = FolderCheck(shipped(), template_engines())
    assert [str(problem) for problem in checking.problems()] == []
    assert len(checking._reading.folder.templates) >= 25


def test_a_template_needs_its_layout_its_category_and_all_partials():
    assert needed(Reading(GOOD).folder, "news") == {
        ("brand", ""),
        ("category", "news"),
        ("layout", "plain"),
        ("partial", "foot"),
        ("partial", "name"),
        ("template", "news"),
    }


def test_referenced_definitions_come_first():
    names = list(all_of(Reading(GOOD).folder))
    assert names.index(("partial", "name")) < names.index(("partial", "foot")) < names.index(("layout", "plain"))
    ring = {"partials/a.liquid": "{% partial b %}", "partials/b.liquid": "{% partial a %}"}
    assert set(all_of(Reading(ring).folder)) == {("partial", "a"), ("partial", "b")}


def test_a_diff_names_new_and_gone_files():
    old = all_of(Reading(GOOD).folder)
    new = {name: one for name, one in old.items() if name != ("partial", "name")}
    assert list(differences(old, old)) == []
    assert (
        "".join(differences(old, new))
        == "--- a/partials/name.liquid\n+++ /dev/null\n@@ -1 +0,0 @@\n-{{ brand.name }}\n"
    )


def test_hidden_files_are_left_out_and_lines_may_end_as_on_windows(tmp_path):
    store(tmp_path, {"partials/a.liquid": "x\n", ".git/config": "y\n", "partials/.DS_Store": "z\n"})
    (tmp_path / "partials" / "b.liquid").write_bytes(b"one\r\ntwo\r\n")
    assert files_in(tmp_path) == {"partials/a.liquid": "x\n", "partials/b.liquid": "one\ntwo\n"}
    store(tmp_path, {}, ["partials/a.liquid"])
    assert "partials/a.liquid" not in files_in(tmp_path)


def test_binary_and_large_files_and_names_outside_the_folder_are_refused(tmp_path):
    (tmp_path / "brand.toml").write_bytes(b"a\n\xff")
    with pytest.raises(FileProblem, match=r"brand\.toml:2: is not UTF-8"):
        files_in(tmp_path)
    (tmp_path / "brand.toml").write_bytes(b" " * (1 << 21))
    with pytest.raises(FileProblem, match="is longer than"):
        files_in(tmp_path)
    for path in ("../x", "/x", "a//b", "a\\b", "."):
        with pytest.raises(OperatorError, match="is no name for a file"):
            store(tmp_path, {path: "x"})
    with pytest.raises(OperatorError, match="There is no folder"):
        files_in(tmp_path / "none")
