"""A control store from before schedules and broadcasts shared the name `local_time`."""

from sqlite3 import connect

from alembic import command

from clarion.stores.sqlite import migrate
from tests.contract.controls import ControlPlane

BODY = '{"to":{"topic":"fans"},"template":"weekly","cron":"0 9 * * *","recipient_time":true,"data":{"recipient_time":"kept"}}'


def before(monkeypatch, folder):
    newest = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _head: newest(config, "control_0005"))
    path = migrate.upgrade(folder, "control")
    monkeypatch.undo()
    with connect(path) as db:
        db.execute(
            "INSERT INTO definitions (tenant, kind, key, version, body, created_ms, updated_ms) "
            "VALUES ('acme', 'schedule', 'weekly', 1, ?, 0, 0)",
            (BODY,),
        )
    db.close()


async def test_a_stored_schedule_continues_at_the_recipients_local_time(tmp_path, monkeypatch):
    before(monkeypatch, tmp_path)
    migrate.upgrade(tmp_path, "control")
    installation = ControlPlane(tmp_path)
    shown = await installation.say("GET", "/v1/schedules/weekly")
    assert (shown["local_time"], shown["data"]) == (True, {"recipient_time": "kept"})
    await installation.close()
