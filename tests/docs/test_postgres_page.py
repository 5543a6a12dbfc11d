"""The commands on the page about PostgreSQL work as described: backup and restore, on a server with its roles."""

import contextlib

import asyncpg
import pytest

from clarion_lab.machine.engines import postgres_folders
from tests.docs.walk import ROOT, blocks, installation, walk
from tests.engines.postgres import OWNER, SUPERUSER, as_role, engine, in_thread

pytestmark = [pytest.mark.e2e, pytest.mark.engines, pytest.mark.allow_hosts(["127.0.0.1"])]
PAGE = ROOT / "docs" / "howto" / "postgres.md"
BACKUP = "clarion_backup"


async def _execute(dsn, statement):
    connection = await asyncpg.connect(as_role(dsn, SUPERUSER))
    with contextlib.suppress(asyncpg.DuplicateObjectError):
        await connection.execute(statement)
    await connection.close()


def _service(name, dsn, role):
    place = engine().server
    database = dsn.rpartition("?")[0].rpartition("/")[2]
    return f"[{name}]\nhost={place.home}\nport={place.port}\ndbname={database}\nuser={role}\n"


@pytest.mark.waits
def test_the_page_does_what_it_says(tmp_path, monkeypatch):
    source, target = engine().bare(), engine().bare()
    (made,) = [block.text for block in blocks(PAGE) if block.language == "sql" and BACKUP in block.text]
    in_thread(_execute(source, made))
    (tmp_path / "pg_service.conf").write_text(
        _service("clarion-backup", source, BACKUP)
        + _service("clarion-owner", source, OWNER)
        + _service("clarion-restored", target, OWNER)
    )
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "pg_service.conf"))
    monkeypatch.setenv("PATH", str(postgres_folders()[0]), prepend=":")
    for name, dsn in (("postgres.dsn", source), ("restored.dsn", target)):
        (tmp_path / name).write_text(dsn)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "clarion.toml").write_text(
        f'store = "postgres"\n[postgres]\ndsn = {{ from = "file:{tmp_path}/postgres.dsn" }}\n'
    )
    environment = {"CLARION_STORE": "postgres", "CLARION_POSTGRES_DSN_FROM": f"file:{tmp_path}/postgres.dsn"}
    with installation(tmp_path, environment) as system:
        operator = (tmp_path / "clarion-data" / "operator.key").read_text().strip()
        system.client(operator).put("/v1/tenants/acme", {"name": "Acme"})
        walk(PAGE, system)
