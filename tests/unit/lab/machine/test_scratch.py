"""Temporary files: one folder a run, gone at its end, or at the next start when the run was killed, with what it left running."""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from clarion_lab.machine import lock, scratch

TIMEOUT_S = 30
SETTINGS = """
import os, subprocess, sys, tempfile
from pathlib import Path
from clarion_lab.machine import scratch
root = Path(sys.argv[1])
scratch.MEMORY, scratch.SHARED, scratch.BASE_LENGTH_MAX = root / "memory", root / "shared", 4096
tempfile.tempdir = str(root / "disk")
run = scratch.Run(root)
"""
BEGINS = (
    SETTINGS
    + """
(run.folder / "file").touch()
(run.memory / "file").touch()
print(run.folder, run.memory, flush=True)
"""
)
WAITS = BEGINS + "sys.stdin.read()\n"
SOCKET_PATH_MAX = 104


@pytest.fixture
def root(tmp_path):
    for name in ("disk", "memory", "shared"):
        (tmp_path / name).mkdir()
    return tmp_path


@contextlib.contextmanager
def running(root, program=WAITS):
    command = [sys.executable, "-c", program, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, [Path(word) for word in process.stdout.readline().split()]
        finally:
            process.kill()


def ran(root, program):
    """Run a program to its end; return its folders and what it wrote to stderr."""
    command = [sys.executable, "-c", program, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return [Path(word) for word in done.stdout.split()], done.stderr


def folders(root):
    return sorted(path for path in root.glob("*/clarion-*/*/*") if path.is_dir())


def test_a_killed_run_is_removed_at_the_next_start_and_a_living_one_is_not(root):
    with running(root) as (living, of_living), running(root) as (killed, of_killed):
        killed.kill()
        killed.wait()
        assert folders(root) == sorted(of_living + of_killed)
        with running(root) as (_, of_next):
            assert folders(root) == sorted(of_living + of_next)
        assert all((folder / "file").exists() for folder in of_living)
        assert living.poll() is None


def test_a_run_of_another_checkout_is_left_alone(root):
    other = root / "other"
    with running(root) as (killed, of_killed):
        killed.kill()
    ran(root, WAITS.replace("Run(root)", f"Run(Path({str(other)!r}))").replace("sys.stdin.read()", "run.leave()"))
    assert folders(root) == sorted(of_killed)


def test_it_is_named_by_its_process_and_gone_at_the_end(root):
    with running(root, WAITS + "run.leave()\n") as (process, (disk, memory)):
        assert disk.name == memory.name
        assert disk.name.startswith(f"{process.pid}-")
        assert (disk.parents[2], memory.parents[2]) == (root / "disk", root / "memory")
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == 0
    assert folders(root) == []


def test_files_of_a_failed_run_stay_until_the_next_one(root):
    failed, _ = ran(root, BEGINS + "run.stays = True; run.leave()\n")
    assert folders(root) == sorted(failed)
    ran(root, BEGINS + "run.leave()\n")
    assert folders(root) == []


def test_files_that_are_kept_stay(root):
    (kept, _), _ = ran(root, BEGINS + "run.keep(); run.leave()\n")
    ran(root, BEGINS + "run.leave()\n")
    assert folders(root) == [kept]


def test_what_a_run_starts_uses_its_folder_and_begins_no_other(root):
    part = "from clarion_lab.machine import scratch; import tempfile; print(scratch.begin(), tempfile.gettempdir())"
    program = BEGINS + f"subprocess.run([sys.executable, '-c', {part!r}], check=True); run.leave()\n"
    (disk, _, none, used), _ = ran(root, program)
    assert (str(none), used) == ("None", disk)


def test_files_in_memory_are_those_of_the_run(root):
    program = BEGINS + "print(scratch.in_memory(), flush=True); run.leave()\n"
    (_, memory, found), _ = ran(root, program)
    assert found == memory


def test_a_copy_of_the_process_removes_nothing(root):
    copies = "\nif os.fork() == 0:\n    run.leave()\n    os._exit(0)\nos.wait()\n"
    with running(root, BEGINS.replace("print", copies + "print") + "sys.stdin.read()\n") as (_, of_run):
        assert folders(root) == sorted(of_run)


@pytest.mark.slow
def test_what_a_killed_run_left_running_is_ended_and_named(root):
    leaves = WAITS.replace(
        "print(", "left = subprocess.Popen(['sleep', '600'], start_new_session=True)\nprint(left.pid, "
    )
    with running(root, leaves) as (killed, (pid, *_)):
        server = psutil.Process(int(str(pid)))
        with running(root, leaves) as (_, (other, *_)):
            killed.kill()
            killed.wait()
            assert server.is_running()
            _, said = ran(root, BEGINS + "run.leave(); sys.stderr.write(run.note())\n")
            assert said == f"An earlier run left processes, which are ended now: {pid} (sleep 600)"
            assert not server.is_running()
            living = psutil.Process(int(str(other)))
            assert living.is_running()
            living.kill()


def test_other_users_pass_through_and_list_nothing(root):
    with running(root) as (_, (disk, memory)):
        for folder in (*(disk, *disk.parents)[:3], *(memory, *memory.parents)[:3]):
            assert folder.stat().st_mode & 0o777 == 0o711, folder


def test_the_path_of_a_socket_fits():
    base = "/" + "b" * (scratch.BASE_LENGTH_MAX - 1)
    assert len(f"{base}/clarion-65534/abcdef/4194304-65b0c1d2e3f4a/pg-abcdefgh/.s.PGSQL.29999") <= SOCKET_PATH_MAX


def test_a_longer_temporary_folder_gives_way(root):
    shared = root / "s"
    shared.mkdir()
    program = BEGINS.replace("4096", "20").replace("run =", f"scratch.SHARED = Path({str(shared)!r})\nrun =")
    (disk, _), _ = ran(root, program + "run.leave()\n")
    assert disk.is_relative_to(shared)


def test_files_of_these_tests_are_in_the_folder_of_their_run(tmp_path):
    run = scratch.enclosing()
    assert run is not None
    assert run.parent == scratch._of_checkout(run.parents[2], lock.CHECKOUT)
    assert tmp_path.resolve().is_relative_to(run.resolve())
    assert Path(tempfile.gettempdir()) == run


@pytest.mark.parametrize("error", [None, ValueError, SystemExit])
def test_a_rig_has_a_run_whose_files_outlast_an_error(root, monkeypatch, error):
    monkeypatch.setattr(scratch, "MEMORY", root / "memory")
    monkeypatch.setattr(scratch, "SHARED", root)
    monkeypatch.setattr(scratch, "enclosing", lambda: None)
    monkeypatch.setattr(scratch, "BASE_LENGTH_MAX", 0)
    before = tempfile.gettempdir()
    with contextlib.suppress(ValueError, SystemExit), scratch.used():
        assert Path(tempfile.gettempdir()).is_relative_to(root)
        if error:
            raise error
    assert tempfile.gettempdir() == before
    left = [*root.glob("clarion-*/*/*-*")]
    assert bool(left) == (error is ValueError)


def test_a_rig_that_shows_its_files_keeps_them(root, monkeypatch):
    monkeypatch.setattr(scratch, "MEMORY", root / "memory")
    monkeypatch.setattr(scratch, "SHARED", root)
    monkeypatch.setattr(scratch, "enclosing", lambda: None)
    monkeypatch.setattr(scratch, "BASE_LENGTH_MAX", 0)
    with scratch.used():
        scratch.keep()
    with scratch.used():
        pass
    assert len([*root.glob("clarion-*/*/*-*")]) == 1
