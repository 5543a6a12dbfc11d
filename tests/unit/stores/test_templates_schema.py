"""A control store of the schema before versions: its templates remain, are sent as before, and can be edited."""

from sqlite3 import connect

import msgspec
import pytest
from alembic import command

from clarion.domain.channel import Channel
from clarion.stores.sqlite import migrate
from tests import lookups
from tests.contract.controls import ControlPlane
from tests.registries import templates_of

PARTS = {
    "email": {"subject": "Grüße, {{ name }}", "html": '<p>{{ data.total | default: "0" }}</p>'},
    "push": {"data": {"deep": [{"n": "{{ name }}"}], "number": 12345678901234567}},
}


def before(monkeypatch, folder):
    """Make a store of revision 0002 with two templates."""
    newest = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _head: newest(config, "control_0002"))
    path = migrate.upgrade(folder, "control")
    monkeypatch.undo()
    rows = [
        ("acme", "hello", 7, "news", msgspec.json.encode(PARTS).decode(), '["name"]', 1, 1_600_000_000_000),
        ("other", "hello", 1, None, '{"sms": {"body": "x"}}', "[]", 0, 1_600_000_000_001),
    ]
    with connect(path) as db:
        db.executemany("INSERT INTO templates VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute(
            "INSERT INTO categories (tenant, key, critical, lane, defaults) VALUES ('acme', 'news', 0, 'normal', '{}')"
        )
    db.close()
    return path


@pytest.fixture
async def installation(tmp_path, monkeypatch):
    before(monkeypatch, tmp_path)
    migrate.upgrade(tmp_path, "control")
    installation = ControlPlane(tmp_path)
    yield installation
    await installation.close()


async def test_a_template_is_sent_as_it_was(installation):
    template = await lookups.template(installation.directory, "acme", "hello")
    assert (template.key, template.version, template.category) == ("hello", 7, "news")
    assert (template.variables, template.uses_user, template.schema) == (("name",), True, None)
    assert template.parts == {Channel(name): parts for name, parts in PARTS.items()}
    assert (await lookups.template(installation.directory, "other", "hello")).parts == {Channel.SMS: {"body": "x"}}


async def test_it_is_a_published_version_that_can_be_edited(installation):
    one = await templates_of(installation.control).version("acme", "hello")
    assert (one.version, one.current, one.published_ms, one.created_by) == (7, True, 1_600_000_000_000, "")
    assert (one.source.channels, one.source.category, one.source.engine) == (one.template.parts, "news", "liquid")
    draft = await installation.say(
        "PUT", "/v1/templates/hello", {"channels": {"sms": {"body": "new"}}}, publish="false"
    )
    assert (draft["version"], draft["status"]) == (8, "draft")
    published = await installation.say("POST", "/v1/templates/hello/publish")
    assert (published["version"], published["current"]) == (8, True)
    back = await installation.say("POST", "/v1/templates/hello/rollback")
    assert (back["version"], back["current"], back["channels"]) == (7, True, PARTS)


def test_a_downgrade_keeps_current_versions(tmp_path, monkeypatch):
    path = before(monkeypatch, tmp_path)
    migrate.upgrade(tmp_path, "control")
    monkeypatch.setattr(command, "upgrade", lambda config, _head: command.downgrade(config, "control_0002"))
    migrate._run(path, migrate._config("control"))
    with connect(path) as db:
        found = db.execute("SELECT * FROM templates ORDER BY tenant").fetchall()
    db.close()
    assert [row[:4] for row in found] == [("acme", "hello", 7, "news"), ("other", "hello", 1, None)]
    assert msgspec.json.decode(found[0][4]) == PARTS
    assert [(msgspec.json.decode(row[5]), *row[6:]) for row in found] == [
        (["name"], 1, 1_600_000_000_000),
        ([], 0, 1_600_000_000_001),
    ]
