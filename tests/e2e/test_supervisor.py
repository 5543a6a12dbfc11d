"""The supervisor over real processes: it restarts and drains children, gives up, and ends its children with itself."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarion.app.processes.supervisor import EXIT_NO_ROOM, Backoff

pytestmark = pytest.mark.processes
SUPERVISE = """
import sys
from pathlib import Path
from clarion.app.processes.supervisor import SupervisedRole, Supervisor, only_one
from clarion.domain.errors import OperatorError

run_dir, script, drain_ms = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
try:
    with only_one(run_dir, "up"):
        role = SupervisedRole("child", [sys.executable, "-c", script])
        sys.exit(Supervisor([role], run_dir, drain_timeout_ms=drain_ms).run())
except OperatorError as error:
    sys.exit(f"operator: {error}")
"""
CHILD = """
import os, signal, sys, threading
from clarion.app.processes.supervisor import die_with_parent
die_with_parent(os.environ)
done = threading.Event()
{handler}
print("up", os.getpid(), flush=True)
done.wait()
print("drained", flush=True)
"""
OBEDIENT = CHILD.format(handler="signal.signal(signal.SIGTERM, lambda *_: done.set())")
STUBBORN = CHILD.format(handler="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
TIMEOUT_S = 20


@contextlib.contextmanager
def supervised(run_dir: Path, script: str, drain_ms: int = 5_000) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SUPERVISE, str(run_dir), script, str(drain_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        watchdog = threading.Timer(TIMEOUT_S, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def child_pid(process: subprocess.Popen[str]) -> int:
    """Return the pid of the next child that reports that it is up."""
    for line in process.stdout:
        if line.startswith("up "):
            return int(line.split()[1])
    raise AssertionError("the supervisor ended before a child came up")


def test_a_killed_child_is_started_again_at_once(tmp_path):
    with supervised(tmp_path, OBEDIENT) as process:
        pids = [child_pid(process)]
        for _ in range(8):  # more often than a crash loop may last: being killed is not the child's fault
            os.kill(pids[-1], signal.SIGKILL)
            pids.append(child_pid(process))
        assert len(set(pids)) == 9
        assert int((tmp_path / "child.pid").read_text()) == pids[-1]


def test_sigterm_drains_and_ends_with_zero(tmp_path):
    with supervised(tmp_path, OBEDIENT) as process:
        child_pid(process)
        process.terminate()
        assert "drained" in process.stdout.read()
        assert process.wait(TIMEOUT_S) == 0
    assert not list(tmp_path.glob("*.pid"))


def test_a_child_that_does_not_finish_is_killed(tmp_path):
    with supervised(tmp_path, STUBBORN, drain_ms=200) as process:
        child_pid(process)
        process.send_signal(signal.SIGINT)
        output = process.stdout.read()
        assert "did not finish in time" in output
        assert "drained" not in output
        assert process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize(("script", "code", "starts"), [("raise SystemExit(2)", 2, 1), ("print('up 0')\n1/0", 1, 7)])
def test_a_child_that_cannot_stay_up_ends_everything(tmp_path, script, code, starts):
    with supervised(tmp_path, script) as process:
        output = process.stdout.read()
        assert process.wait(TIMEOUT_S) == code
        assert output.count("process ended") == starts
        assert "cannot stay up" in output


def test_a_process_that_the_system_does_not_start_is_tried_again_and_then_given_up(tmp_path):
    script = SUPERVISE.replace("[sys.executable,", '["/nowhere",')
    command = [sys.executable, "-c", script, str(tmp_path), "pass", "200"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 1
    assert done.stdout.count("process not started") == 7
    assert "cannot stay up" in done.stdout


def test_children_die_with_a_supervisor_that_was_killed(tmp_path):
    with supervised(tmp_path, OBEDIENT) as process:
        pid = os.pidfd_open(child_pid(process))
        process.kill()
        assert select.select([pid], [], [], TIMEOUT_S)[0] == [pid]  # readable once it ended
        os.close(pid)


def test_only_one_supervisor_per_data_directory(tmp_path):
    with supervised(tmp_path, OBEDIENT) as first:
        child_pid(first)
        with supervised(tmp_path, OBEDIENT) as second:
            assert f"already runs on {tmp_path.parent} (process {first.pid})" in second.stdout.read()
            assert second.wait(TIMEOUT_S) == 1


def test_pauses_grow_from_nothing_to_their_bound():
    backoff = Backoff()
    assert [backoff.pause_s(0.5, 1) for _ in range(7)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, None]
    assert Backoff().pause_s(60, 1) == 0.0
    assert Backoff().pause_s(0.01, -signal.SIGKILL) == 0.1
    assert Backoff().pause_s(0.5, 2) is None
    assert Backoff().pause_s(60, 2) == 0.0
    full = Backoff()
    assert [full.pause_s(0.1, EXIT_NO_ROOM) for _ in range(100)] == [1.0] * 100, "a full disk may be emptied"
    assert full.pause_s(0.1, 1) == 0.0
