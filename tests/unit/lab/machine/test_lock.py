"""The lock of the machine: one holder at a time, who is named to those who wait; parts of a run go on; a killed holder is gone."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from clarion_lab.machine import lock

SCRIPT = Path(lock.__file__)
TIMEOUT_S = 30
WAITING = "import sys; print('in', flush=True); sys.stdin.read()"
"""A program that says when it runs, and ends with its standard input."""


def under(what, *command):
    return [sys.executable, "-P", str(SCRIPT), what, "--", *command]


@pytest.fixture
def place(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    monkeypatch.setenv(lock.VARIABLE, str(path))
    monkeypatch.delenv(lock.HELD_VARIABLE, raising=False)
    return path


@contextlib.contextmanager
def started(*command, **more):
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **more) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def holding(what="first", program=WAITING):
    with started(*under(what, sys.executable, "-c", program)) as holder:
        assert holder.stdout.readline() == "in\n"
        yield holder


@pytest.mark.usefixtures("place")
def test_a_second_one_waits_and_says_for_whom():
    with holding() as holder, started(*under("second", sys.executable, "-c", "print('in')")) as second:
        expected = f"second waits for the machine: first in {lock.CHECKOUT} (process {holder.pid}) uses it.\n"
        assert second.stderr.readline() == expected
        assert second.poll() is None
        holder.stdin.close()
        assert second.wait(TIMEOUT_S) == 0
        assert second.stdout.read() == "in\n"


@pytest.mark.usefixtures("place")
def test_who_waits_is_told_of_the_next_holder_too(monkeypatch):
    def names(process):
        return process.stderr.readline().partition(" waits for the machine: ")[2].partition(" in ")[0]

    with holding() as first, started(*under("second", sys.executable, "-c", WAITING)) as second:
        assert names(second) == "first"
        with started(*under("third", "true")) as third:
            assert names(third) == "first"
            first.stdin.close()
            assert second.stdout.readline() == "in\n", "the second came before the third"
            assert names(third) == "second"
            second.stdin.close()
            assert third.wait(TIMEOUT_S) == 0


@pytest.mark.usefixtures("place")
def test_a_part_of_a_run_goes_on_at_once():
    nested = under("whole", *under("part", *under("part of the part", sys.executable, "-c", "print('in')")))
    done = subprocess.run(nested, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", "")


def test_a_process_may_hold_it_twice_and_gives_it_back_once(place):
    with lock.alone("whole"):
        token = os.environ[lock.HELD_VARIABLE]
        with lock.alone("part"):
            assert os.environ[lock.HELD_VARIABLE] == token
        assert is_held(place)
    assert lock.HELD_VARIABLE not in os.environ
    assert not is_held(place)


def is_held(place):
    descriptor = os.open(place, os.O_RDWR)
    try:
        return not lock._try(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.usefixtures("place")
def test_the_token_of_an_earlier_holder_opens_nothing(monkeypatch):
    with lock.alone("earlier"):
        stale = os.environ[lock.HELD_VARIABLE]
    monkeypatch.setenv(lock.HELD_VARIABLE, stale)
    with holding(), started(*under("second", "true")) as second:
        assert "second waits for the machine: first in" in second.stderr.readline()


LEAVES_A_SERVER = (
    """
import os, subprocess, sys
server = subprocess.Popen(["sleep", "600"], start_new_session=True, close_fds=False, stdout=subprocess.DEVNULL)
sys.stderr.write(f"{server.pid}\\n")
"""
    + WAITING
)


@pytest.mark.slow
def test_a_killed_holder_keeps_nothing_although_what_it_started_lives_on(place):
    with holding(program=LEAVES_A_SERVER) as holder:
        server = psutil.Process(int(holder.stderr.readline()))
        (command,) = psutil.Process(holder.pid).children()
        assert is_held(place)
        try:
            holder.kill()
            holder.wait()
            subprocess.run(under("next", "true"), check=True, timeout=TIMEOUT_S)
            assert server.is_running()
            if sys.platform == "linux":
                command.wait(TIMEOUT_S)  # it does not go on measuring without the lock
        finally:
            server.kill()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("program", "code"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 15)", 143)]
)
def test_the_exit_code_is_that_of_the_command(program, code):
    assert subprocess.run(under("a", sys.executable, "-c", program), timeout=TIMEOUT_S, check=False).returncode == code


@pytest.mark.usefixtures("place")
def test_a_signal_ends_the_command_first():
    ending = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('in', flush=True); signal.pause()"
    with holding(program=ending) as holder:
        holder.send_signal(signal.SIGTERM)
        assert holder.wait(TIMEOUT_S) == 7


def test_a_lock_that_was_cleaned_away_is_taken_again_in_its_place(place):
    with holding() as holder, started(*under("second", sys.executable, "-c", WAITING)) as second:
        assert "waits" in second.stderr.readline()
        place.unlink()
        holder.stdin.close()
        assert second.stdout.readline() == "in\n"
        assert is_held(place)


@pytest.mark.parametrize("taken", ["file", "link"])
def test_a_folder_of_somebody_else_is_not_used(tmp_path, taken):
    folder = tmp_path / f"clarion-{os.geteuid()}"
    if taken == "file":
        folder.touch()
    else:
        folder.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="no folder of this user"):
        lock.own_folder(tmp_path)


def test_a_place_that_cannot_be_used_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv(lock.VARIABLE, str(tmp_path / "none" / "lock"))
    done = subprocess.run(under("make x", "true"), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.stderr == f"make x: cannot use {tmp_path}/none/lock: No such file or directory\n"
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("words", [["demo", "--once"], ["bench", "push", "--n", "5"], ["chaos", "kill9"]])
def test_rigs_wait_too(tmp_path, words):
    command = [sys.executable, "-m", "clarion", *words]
    with holding(), started(*command, cwd=tmp_path) as rig:
        assert rig.stderr.readline().startswith(f"clarion {words[0]} waits for the machine: first in ")
        rig.send_signal(signal.SIGINT)
        rig.communicate(timeout=TIMEOUT_S)


@pytest.mark.usefixtures("place")
def test_the_check_before_a_merge_waits_as_a_whole():
    with holding(), started(str(lock.CHECKOUT / ".ci" / "run"), start_new_session=True) as check:
        assert check.stderr.readline().startswith(".ci/run waits for the machine: first in ")
        os.killpg(check.pid, signal.SIGKILL)


def test_waiting_ends_at_an_interrupt(place):
    with holding(), started(*under("second", "true")) as second:
        assert "waits" in second.stderr.readline()
        until = time.monotonic() + TIMEOUT_S
        second.send_signal(signal.SIGINT)
        assert second.wait(TIMEOUT_S) == 130
        assert time.monotonic() < until
        assert is_held(place)
