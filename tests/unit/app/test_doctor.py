"""What `clarion doctor` finds on a machine: one sentence and one remedy for each thing to mend."""

import contextlib
import os
import socket
import sqlite3
from collections import namedtuple
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from typer.testing import CliRunner

from clarion.app.cli.main import app
from clarion.app.cli.processes import prepare
from clarion.app.config.loading import load
from clarion.app.doctor import machine
from clarion.app.doctor.checks import CHECKS, examine
from clarion.app.doctor.findings import CheckResult, DoctorCheck
from clarion.domain.errors import OperatorError
from clarion.ports.store_rows import FACT
from clarion.stores.sqlite.migrate import path_of
from clarion_lab.machine.ports import free_port
from tests.contract.journals import VirtualClock, frames, sqlite

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
NOBODY = 65_534


@pytest.fixture
def config(tmp_path, free):
    return load(None, {"CLARION_DATA_DIR": str(tmp_path / "data"), "CLARION_API_PORT": str(free)})


@pytest.fixture
def free():
    return free_port()


@pytest.fixture
def made(config):
    """Return the settings of an installation that is there."""
    prepare(config)
    return config


async def to_mend(config) -> dict[str, tuple[str, str]]:
    found = [(name, finding) async for name, finding in examine(config)]
    assert {name for name, _ in found} == {check.name for check in CHECKS}
    return {name: tuple(finding) for name, finding in found if not finding.is_fine}


async def test_nothing_is_to_mend_before_the_first_start_and_after_it(config):
    assert await to_mend(config) == {}
    assert not config.data_dir.exists(), "it changes nothing"
    prepare(config)
    assert await to_mend(config) == {}


async def test_a_taken_port(made):
    with socket.socket() as other:
        other.bind((made.api.host, made.api.port))
        other.listen()
        sentence, remedy = (await to_mend(made))["ports"]
    assert "cannot be listened on: address already in use" in sentence
    assert "api.port" in remedy


async def test_two_settings_with_one_port(made):
    api = msgspec.structs.replace(made.api, health_port=made.api.port)
    sentence, _ = (await to_mend(msgspec.structs.replace(made, api=api)))["ports"]
    assert sentence == f"api.port and api.health_port are both {made.api.port}."


async def test_a_file_that_is_no_database(made):
    path_of(made.data_dir, "state").write_bytes(b"no database" * 1_000)
    assert "it is no database; restore it" in (await to_mend(made))["store"][0]


async def test_the_port_of_the_api_that_runs_here_is_no_finding(made):
    made.run_dir.mkdir()
    (made.run_dir / "api.pid").write_text(str(os.getpid()))
    with socket.socket() as own:
        own.bind((made.api.host, made.api.port))
        own.listen()
        assert await to_mend(made) == {}


@contextlib.contextmanager
def as_nobody():
    """Be a user without rights, where this one has all."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


@pytest.fixture
def closed():
    """Return folders that this user may not write, make and enter."""
    with TemporaryDirectory() as above:
        there, hidden = Path(above, "data"), Path(above, "hidden")
        there.mkdir(mode=0o500)
        hidden.mkdir(mode=0o0)
        Path(above).chmod(0o555)
        yield there, Path(above, "new"), hidden / "data"
        for folder in (Path(above), there, hidden):
            folder.chmod(0o700)


async def test_folders_of_another_user(config, closed):
    with as_nobody():
        found = [await of_folder(config, folder) for folder in closed]
    words = "cannot be read and written by this user", "cannot be made in", "cannot be reached by this user"
    assert all(expected in sentence for expected, sentence in zip(words, found, strict=True)), found


async def of_folder(config, folder):
    [finding] = [finding async for finding in machine.folder(msgspec.structs.replace(config, data_dir=folder))]
    assert not finding.is_fine
    return finding.sentence


async def test_a_file_in_place_of_the_folder(config):
    config.data_dir.write_text("")
    assert "is no folder" in (await to_mend(config))["folder"][0]


async def test_little_room_and_none(made, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _place: usage(512 << 20))
    assert "Only 512 MB are free" in (await to_mend(made))["disk"][0]
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _place: usage(1 << 20))
    assert "requests are refused" in (await to_mend(made))["disk"][0]


async def test_a_master_key_of_another_installation(made, tmp_path):
    journal = made.data_dir / "master.key"
    with sqlite3.connect(path_of(made.data_dir, "control")) as db:
        db.execute("INSERT OR REPLACE INTO facts VALUES ('key-check', x'0102')")
    db.close()
    sentence, remedy = (await to_mend(made))["store"]
    assert "is not that of the installation" in sentence
    assert "master.key" in remedy
    journal.chmod(0o644)
    found = await to_mend(made)
    assert "can be read by other users" in found["keys"][0]
    assert "store" not in found, "a key that is not read is not called another one"
    journal.unlink()
    assert "is missing" in (await to_mend(made))["keys"][0]


async def test_a_clock_that_went_back(made):
    clock = VirtualClock()
    clock.wall_ms = 4_000_000_000_000
    journal = sqlite(made.data_dir, clock, 1)
    await journal.commit(frames(b"x"))
    await journal.close()
    sentence, remedy = (await to_mend(made))["store"]
    assert "behind what was stored last" in sentence
    assert "time service" in remedy


async def test_a_schema_of_another_build_and_a_store_that_moved(made):
    with sqlite3.connect(path_of(made.data_dir, "control")) as db:
        mark = b'{"id": "a", "role": "source", "other": "postgres", "is_done": true}'
        db.execute("INSERT INTO facts VALUES (?, ?)", (FACT, mark))
    db.close()
    assert "was moved from sqlite to postgres" in (await to_mend(made))["store"][0]
    with sqlite3.connect(path_of(made.data_dir, "state")) as db:
        db.execute("UPDATE alembic_version SET version_num = 'state_9999'")
    db.close()
    assert "written by a newer build" in (await to_mend(made))["store"][0]


async def test_a_check_that_cannot_be_made_is_a_finding(config):
    async def broken(_config):
        raise OperatorError("No such thing.")
        yield CheckResult("")

    found = [one async for one in examine(config, (DoctorCheck("broken", broken),))]
    assert [(name, finding.sentence, finding.is_fine) for name, finding in found] == [
        ("broken", "No such thing.", False)
    ]


def test_the_command_prints_it_and_exits_with_1_when_something_is_to_mend(config, monkeypatch):
    for name, value in {"CLARION_DATA_DIR": str(config.data_dir), "CLARION_API_PORT": str(config.api.port)}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["doctor"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "Everything is fine.")
    config.data_dir.write_text("")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "FAIL  folder" in done.output
    assert done.output.splitlines()[-1].endswith("to mend.")
