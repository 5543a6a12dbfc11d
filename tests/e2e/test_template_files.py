"""Templates as code: `clarion templates` against a running installation, as a team uses it."""

import pytest

from clarion_lab.load.programs import System, running
from tests.e2e.test_cli import Shell

pytestmark = pytest.mark.slow

WELCOME = """\
# how we greet people
description = "Welcome"
category = "account"
layout = "plain"

[channels.email]
subject = '{% t hello %}'
html = {file = "email.html"}
[channels.sms]
body = "{% t hello %}{% partial foot %}"
"""
FILES = {
    "brand.toml": 'name = "Acme"\n',
    "categories.toml": '[account]\npriority = "high"\n',
    "partials/foot.liquid": " {% partial name %}\n",
    "partials/name.liquid": "Acme\n",
    "layouts/plain/layout.toml": 'html = {file = "layout.html"}\n',
    "layouts/plain/layout.html": "<html><body><h1>Acme</h1>{{ content }}</body></html>\n",
    "templates/welcome/template.toml": WELCOME,
    "templates/welcome/email.html": "<p>{% t hello %}</p>\n",
    "templates/welcome/messages.en.toml": 'hello = "Hello {{ user.name }}"\n',
    "templates/welcome/messages.de.toml": "hello = 'Hallo {{ user.name }}'\n",
    "templates/welcome/sample.json": '{"user": {"name": "Ada"}}\n',
}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running(System(tmp_path_factory.mktemp("up"), {"CLARION_WORKERS_COUNT": "1"})) as started:
        yield started


@pytest.fixture
def acme(system, tmp_path, request):
    """A shell of a new tenant, in a folder of its own."""
    url = f"http://127.0.0.1:{system.port}"
    operator = Shell(
        tmp_path, CLARION_URL=url, CLARION_KEY=(system.folder / "data" / "operator.key").read_text().strip()
    )
    name = request.node.name.replace("_", "-")[:60]
    key = operator("keys", "create", name).strip()
    return Shell(tmp_path, CLARION_URL=url, CLARION_KEY=key)


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def read(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_what_is_pushed_is_pulled_again_byte_by_byte(acme, tmp_path):
    write(tmp_path / "ours", FILES)
    assert acme("templates", "check", "ours") == "1 templates, 0 problems, 0 warnings\n"
    out = acme("templates", "push", "ours")
    assert out.splitlines() == [
        "brand: stored",
        "category account: stored",
        "partial name: version 1",
        "partial foot: version 1",
        "layout plain: version 1",
        "template welcome: version 1 published",
        "6 stored",
    ]
    assert acme("templates", "push", "ours") == "6 unchanged\n"
    assert acme("templates", "diff", "ours") == ""
    assert acme("templates", "pull", "ours") == "0 written, 5 unchanged, 0 only here\n"
    assert read(tmp_path / "ours") == FILES
    acme("templates", "pull", "theirs")
    pulled = read(tmp_path / "theirs")
    assert pulled["templates/welcome/messages.de.toml"] == 'hello = "Hallo {{ user.name }}"\n'
    assert pulled["templates/welcome/email.html"] == FILES["templates/welcome/email.html"]
    assert acme("templates", "push", "theirs") == "5 unchanged\n"
    acme("templates", "pull", "theirs")
    assert read(tmp_path / "theirs") == pulled


def test_a_change_is_shown_and_only_that_is_stored(acme, tmp_path):
    write(tmp_path, FILES)
    acme("templates", "push", ".")
    write(tmp_path, {"templates/welcome/messages.de.toml": 'hello = "Servus {{ user.name }}"\n'})
    shown = acme("templates", "diff", ".", code=1, output=True)
    assert '-hello = "Hallo {{ user.name }}"\n+hello = "Servus {{ user.name }}"\n' in shown
    assert shown.count("---") == 1
    assert "template welcome: version 2 draft\n1 stored, 5 unchanged\n" in reordered(
        acme("templates", "push", "--draft", ".")
    )
    assert acme("templates", "diff", ".", code=1, output=True) == shown
    assert acme("templates", "diff", "--drafts", ".") == ""
    assert "version 2 published" in acme("templates", "push", ".")
    assert acme("templates", "diff", ".") == ""


def reordered(out):
    *lines, summary = out.splitlines()
    return "\n".join([*lines, ", ".join(sorted(summary.split(", "))), ""])


def test_pull_writes_what_changed_over_there_and_prune_removes_what_is_gone(acme, tmp_path):
    write(tmp_path, FILES)
    acme("templates", "push", ".")
    write(tmp_path, {"templates/welcome/email.html": "<p>Old</p>\n", "partials/mine.liquid": "x\n"})
    out = acme("templates", "pull", ".")
    assert "template welcome: written\npartial mine: only here\n1 written" in out
    assert (tmp_path / "templates/welcome/email.html").read_text() == FILES["templates/welcome/email.html"]
    acme("templates", "pull", "--prune", ".")
    assert not (tmp_path / "partials/mine.liquid").exists()
    write(tmp_path / "less", {path: FILES[path] for path in FILES if path.startswith(("partials", "brand"))})
    out = acme("templates", "push", "--prune", "less")
    assert "template welcome: removed\nlayout plain: removed\n3 unchanged, 2 removed\n" in out


def test_refusals_name_file_and_line_and_the_rest_is_stored(acme, tmp_path):
    broken = WELCOME.replace("{% t hello %}{% partial", "{% t hallo %}{% partial")
    write(
        tmp_path,
        FILES
        | {"templates/welcome/template.toml": broken, "templates/bye/template.toml": '[channels.sms]\nbody = "Bye"\n'},
    )
    out = acme("templates", "push", ".", code=1, output=True)
    assert "templates/welcome/template.toml:10: channels.sms.body: " in out
    assert "template bye: version 1 published" in out
    assert "1 refused" in out.splitlines()[-1]
    assert "templates/welcome/template.toml:10: channels.sms.body: " in acme(
        "templates", "check", ".", code=1, output=True
    )
    write(tmp_path, {"layouts/plain/layout.html": "<p>\n</p>\n", "partials/name.liquid": "\n{{ a | nothing }}\n"})
    out = acme("templates", "push", ".", code=1, output=True)
    assert "layouts/plain/layout.html:1: html: needs {{ content }} exactly once" in out
    assert "partials/name.liquid:2: source: column " in out
    write(tmp_path, {"templates/welcome/extra.txt": ""})
    error = acme("templates", "push", ".", code=2)
    assert "templates/welcome/extra.txt: is not used" in error
    assert "nothing was compared or stored" in error
    assert "There is no folder" in acme("templates", "push", "nowhere", code=2)


def test_the_catalogue_is_listed_installed_and_never_overwritten_unasked(acme, tmp_path):
    assert "order-shipped" in acme("templates", "list")
    out = acme("templates", "install", "order-shipped")
    assert "category orders: stored" in out
    assert "layout default: version 1" in out
    assert "template order-shipped: version 1 published" in out
    acme("templates", "pull", ".")
    title = tmp_path / "templates/order-shipped/template.toml"
    title.write_text(title.read_text().replace("description = ", 'description = "Ours. " # '))
    write(tmp_path, {"brand.toml": 'name = "Ours"\n'})
    acme("templates", "push", ".")
    assert "template order-shipped: left unchanged; --force replaces it" in acme(
        "templates", "install", "order-shipped"
    )
    assert acme("templates", "diff", ".") == ""
    assert "version 3 published" in acme("templates", "install", "--force", "order-shipped")
    acme("templates", "pull", ".")
    assert (tmp_path / "brand.toml").read_text() == 'name = "Ours"\n'
    assert "did you mean order-shipped?" in acme("templates", "install", "order-shiped", code=2)
    assert "Name templates to install" in acme("templates", "install", code=2)


def test_the_whole_catalogue_can_be_installed_and_sent(acme, tmp_path):
    out = acme("templates", "install", "--all")
    assert "refused" not in out
    assert acme("templates", "pull", ".").endswith("unchanged, 0 only here\n")
    assert acme("templates", "check", ".").splitlines()[-1].split(",")[1] == " 0 problems"
    assert "stored" not in acme("templates", "install", "--all")
