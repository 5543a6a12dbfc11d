"""What `clarion doctor --backup` finds in files of `pg_dump`, and what a start finds in a database restored from them."""

import asyncio
import os
import subprocess

import asyncpg
import pytest

from clarion.app.config.loading import load
from clarion.app.doctor.checks import examine_backup
from clarion.app.wiring import postgres_stores
from clarion.app.wiring.postgres_stores import prepare
from clarion.domain.errors import OperatorError
from clarion.stores.postgres.migrate import upgrade
from clarion_lab.machine.engines import postgres_folders
from tests.engines.postgres import OWNER, SUPERUSER, as_role, engine

pytestmark = pytest.mark.engines
SEEN = {"PGOPTIONS": "-c clarion.tenants=*"}
OWNERS = ("--enable-row-security",)


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    monkeypatch.setenv("PATH", str(postgres_folders()[0]), prepend=":")


@pytest.fixture
def dsn():
    return as_role(engine().own(), OWNER)


@pytest.fixture
def settings(tmp_path):
    def of(dsn):
        given = {"CLARION_DATA_DIR": str(tmp_path / "data"), "CLARION_STORE": "postgres", "CLARION_POSTGRES_DSN": dsn}
        return load(None, given)

    return of


@pytest.fixture
async def made(dsn, settings):
    """Return the owner's address of an installation with two tenants and frames in its journal."""
    await prepare(settings(dsn), 4)
    await execute(dsn, "INSERT INTO tenants VALUES ('a', 'A', '{}', 0, 0), ('b', E'B\n\\t', '{}', 0, 0)")
    await execute(
        dsn, "INSERT INTO journal.streams (topic, partition, head, trimmed_offset) VALUES ('accepted.normal', 0, 5, 3)"
    )
    await execute(
        dsn, 'INSERT INTO journal.frames (stream_id, "offset", appended_ms, count, total, payload)'
        " SELECT stream_id, number, 0, 1, number, '' FROM journal.streams, generate_series(4, 5) number"
        " WHERE topic = 'accepted.normal'"
    )  # fmt: skip
    return dsn


async def execute(dsn, statement):
    connection = await asyncpg.connect(as_role(dsn, SUPERUSER))
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def dumped(dsn, path, *options, **variables):
    command = ["pg_dump", f"--dbname={dsn}", f"--file={path}", *options]
    done = await asyncio.to_thread(
        subprocess.run, command, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


async def restored(path):
    target = engine().bare()
    command = ["pg_restore", f"--dbname={target}", "--no-owner", "--single-transaction", "--exit-on-error", str(path)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    return target


async def to_mend(config, path):
    return [found.sentence async for _, found in examine_backup(config, path) if not found.is_fine]


@pytest.mark.parametrize("form", ["custom", "plain", "directory"])
async def test_a_whole_dump_is_fine_and_can_be_restored(made, settings, tmp_path, form):
    path = tmp_path / "whole"
    assert await dumped(made, path, *OWNERS, f"--format={form}", **SEEN) == (0, "")
    sentences = [found.sentence async for _, found in examine_backup(settings(made), path)]
    assert await to_mend(settings(made), path) == []
    assert {"All 2 tenants are in it.", "All 2 frames of the journal are in it."} <= set(sentences)
    assert "The master key is that of the installation." in sentences
    if form == "plain":
        return
    target = await restored(path)
    await prepare(settings(target), 4)
    assert [row[0] for row in await execute(target, "SELECT tenant FROM tenants ORDER BY 1")] == ["a", "b"]
    assert await execute(target, "SELECT payload FROM journal.frames") != []


async def test_the_owner_alone_sees_no_tenant(made, settings, tmp_path):
    code, said = await dumped(made, tmp_path / "cut", "--format=plain")
    assert code == 1
    assert "row-level security" in said
    (sentence,) = await to_mend(settings(made), tmp_path / "cut")
    assert "was cut" in sentence
    path = tmp_path / "empty"
    assert await dumped(made, path, *OWNERS, "--format=custom") == (0, "")
    (sentence,) = await to_mend(settings(made), path)
    assert sentence == "0 of 2 tenants are in it: row-level security hid rows from pg_dump."
    target = await restored(path)
    with pytest.raises(OperatorError, match="The database has 0 of the 2 tenants of its installation"):
        await prepare(settings(target), 4)
    config = settings(target)
    with pytest.raises(OperatorError, match="0 of the 2 tenants"):
        await postgres_stores.on_server(config, None, None, None, "scheduler")


async def test_a_part_is_found(made, settings, tmp_path):
    for name, options, words in (
        ("schema", ["--schema-only"], "The rows of "),
        ("inserts", ["--inserts"], "The rows of "),
        ("left", ["--exclude-table-data=documents"], "The rows of 1 tables are not in it: documents."),
        ("table", ["--exclude-table=users"], "The rows of 1 tables are not in it: users."),
    ):
        assert await dumped(made, tmp_path / name, *OWNERS, *options, "--format=custom", **SEEN) == (0, "")
        assert (await to_mend(settings(made), tmp_path / name))[0].startswith(words), name


@pytest.mark.parametrize("form", ["custom", "plain"])
async def test_a_file_that_was_cut_is_found(made, settings, tmp_path, form):
    path = tmp_path / "cut"
    await dumped(made, path, *OWNERS, f"--format={form}", **SEEN)
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        (sentence,) = await to_mend(settings(made), path)
        assert "cut" in sentence or "cannot be read to its end" in sentence


async def test_frames_that_are_missing_are_found(made, settings, tmp_path):
    await execute(made, "DELETE FROM journal.frames")
    await dumped(made, tmp_path / "part", *OWNERS, "--format=custom", **SEEN)
    assert await to_mend(settings(made), tmp_path / "part") == ["0 of 2 frames of the journal are in it."]


async def test_what_is_no_dump_or_of_no_installation_is_named(dsn, settings, tmp_path):
    (tmp_path / "other").write_text("hello")
    (sentence,) = await to_mend(settings(dsn), tmp_path / "other")
    assert sentence.endswith("other is no file of pg_dump, or was compressed afterwards.")
    (sentence,) = await to_mend(settings(dsn), tmp_path / "gone")
    assert "gone" in sentence
    await dumped(dsn, tmp_path / "bare", *OWNERS, **SEEN)
    (sentence,) = await to_mend(settings(dsn), tmp_path / "bare")
    assert sentence.startswith("No installation is in it")


async def test_pg_restore_that_is_not_there_is_named(made, settings, tmp_path, monkeypatch):
    await dumped(made, tmp_path / "whole", *OWNERS, "--format=custom", **SEEN)
    monkeypatch.setenv("PATH", str(tmp_path))
    (sentence,) = await to_mend(settings(made), tmp_path / "whole")
    assert "pg_restore is not in PATH" in sentence


async def test_an_installation_without_tenants_is_whole(dsn, settings, tmp_path):
    await prepare(settings(dsn), 4)
    await dumped(dsn, tmp_path / "whole", *OWNERS, "--format=custom", **SEEN)
    assert await to_mend(settings(dsn), tmp_path / "whole") == []
    await prepare(settings(await restored(tmp_path / "whole")), 4)


async def test_tenants_are_counted_whoever_makes_them(made):
    count = "SELECT number, (SELECT count(*) FROM tenants) FROM tenant_count"
    assert [tuple(row) for row in await execute(made, count)] == [(2, 2)]
    await execute(
        made, "INSERT INTO tenants VALUES ('b', '', '{}', 0, 0), ('c', '', '{}', 0, 0) ON CONFLICT DO NOTHING"
    )
    await execute(
        made, "INSERT INTO tenants VALUES ('c', '', '{}', 0, 0) ON CONFLICT (tenant) DO UPDATE SET name = 'C'"
    )
    assert [tuple(row) for row in await execute(made, count)] == [(3, 3)]
    await execute(made, "DELETE FROM tenants WHERE tenant <> 'a'")
    assert [tuple(row) for row in await execute(made, count)] == [(1, 1)]


@pytest.mark.parametrize("has_tenants", [True, False])
async def test_what_an_older_build_restored_without_tenants_is_refused_after_its_migration(settings, has_tenants):
    dsn = engine().bare()
    await upgrade(dsn, "postgres_0012")
    await execute(dsn, "INSERT INTO tenant_revisions VALUES ('', 3), ('a', 2)")
    if has_tenants:
        await execute(dsn, "INSERT INTO tenants VALUES ('a', '', '{}', 0, 0)")
        await prepare(settings(dsn), 4)
        return
    with pytest.raises(OperatorError, match="0 of the 1 tenants"):
        await prepare(settings(dsn), 4)
