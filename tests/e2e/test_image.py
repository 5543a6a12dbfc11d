"""Processes that are copies of their supervisor: the state they share, the state each has of its own, and the fallback where a
process cannot be copied."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from clarion_lab.load.programs import System, running, wait_for
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant
from tests.e2e.seed import NOTE, phone

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="copies are made, and looked at here, on Linux"),
]
TIMEOUT_S = 20
COPY = """
import os, sys, time
from clarion.app.processes.image import CopyStarter
from clarion.app.processes.supervisor import SupervisedRole

def main():
{body}

lock = open(sys.argv[1], "w")
sys.stdout.write("before ")
copies = CopyStarter(main)
role = SupervisedRole("child", [sys.executable, "-m", "clarion", "worker"], ["worker", "--index", "7"])
for number in range({times}):
    child = copies(role, {{"CLARION_START": str(number)}})
    while (code := child.poll()) is None:
        time.sleep(0.01)
    print("code", code, flush=True)
"""
NO_FORK = """
import os, sys

def fork():
    raise BlockingIOError(11, "Resource temporarily unavailable")

if sys.orig_argv[-1] == "up":  # drafts are worked on by copies, too
    os.fork = fork
"""
PF_FORKNOEXEC = 0x40


def said_by_copies(tmp_path: Path, *body: str, times: int = 1) -> list[str]:
    """Return the output of copies that run this one after the other, and their exit codes."""
    script = COPY.format(body="".join(f"    {line}\n" for line in body), times=times)
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, input="for the supervisor")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def is_copy(process: psutil.Process) -> bool:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return bool(int(fields[6]) & PF_FORKNOEXEC)


def roles(system: System) -> dict[str, list[psutil.Process]]:
    """Return the processes of a supervisor, by role."""
    found = system.processes()
    return {role: found.get(role, []) for role in ("api", "worker", "scheduler")}


def log_of(system: System) -> str:
    return (system.folder / "clarion.log").read_text(errors="replace")


def test_no_two_copies_draw_the_same(tmp_path):
    said = said_by_copies(
        tmp_path,
        "import random, uuid",
        "from clarion.runtime.clock import SystemClock",
        "clock = SystemClock()",
        "print(clock.entropy(8).hex(), clock.jitter(), random.getrandbits(64), uuid.uuid4())",
        times=3,
    )
    drawn = [line.removeprefix("before ").split() for line in said if not line.startswith("code")]
    assert [len(draws) for draws in drawn] == [4, 4, 4]
    assert len({draw for draws in drawn for draw in draws}) == 12


def test_a_copy_has_nothing_of_its_supervisor_but_what_was_loaded(tmp_path):
    said = said_by_copies(
        tmp_path,
        "import signal",
        "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1], repr(sys.stdin.read()))",
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.pthread_sigmask(signal.SIG_BLOCK, []))",
        "print(os.environ['CLARION_START'], sys.argv)",
    )
    assert said == ["before [0, 1, 2] ''", "True set()", "0 ['clarion', 'worker', '--index', '7']", "code 0"]


def test_a_copy_is_shown_by_what_it_does(tmp_path):
    said = said_by_copies(tmp_path, "print(open('/proc/self/cmdline').read().replace(chr(0), ' ').strip())")
    assert said[0] == f"before {sys.executable} -m clarion worker"


@pytest.mark.parametrize(
    ("end", "code"),
    [("pass", 0), ("sys.exit(2)", 2), ("sys.exit('no')", 1), ("1 / 0", 1), ("os.kill(os.getpid(), 9)", -9)],
)
def test_a_supervisor_learns_how_a_copy_ended(tmp_path, end, code):
    assert said_by_copies(tmp_path, end)[-1].endswith(f"code {code}")


def test_what_has_a_second_thread_is_not_copied(tmp_path):
    script = """
import sys, threading, time
from clarion.app.processes.image import CopyStarter
from clarion.app.processes.supervisor import SupervisedRole
stop = threading.Event()
threading.Thread(target=stop.wait).start()
child = CopyStarter()(SupervisedRole("child", [sys.executable, "-c", "print('an interpreter of its own')"]), {})
while child.poll() is None:
    time.sleep(0.01)
stop.set()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.stdout.splitlines()[-1] == "an interpreter of its own"
    assert "the supervisor has 2 threads" in done.stdout  # where structlog writes by default


def test_a_killed_process_is_made_again_from_the_image(tmp_path):
    with running(System(tmp_path, QUICK)) as system:
        before = roles(system)
        assert all(is_copy(process) for group in before.values() for process in group)
        kill(system, [group[0] for group in before.values()])
        system.wait_ready()
        after = roles(system)
        assert all(is_copy(process) for group in after.values() for process in group)
        assert all(after[role][0].pid != before[role][0].pid for role in ("api", "scheduler"))
        assert_sends(system)
    assert "share no memory" not in log_of(system)


def kill(system: System, processes: list[psutil.Process]) -> None:
    """Kill processes, and wait until the supervisor has started as many new ones."""
    number = sum(map(len, roles(system).values()))
    for process in processes:
        process.kill()
    assert not psutil.wait_procs(processes, TIMEOUT_S)[1]
    wait_for("new ones are started", lambda: sum(map(len, roles(system).values())) == number, TIMEOUT_S)


def assert_sends(system: System) -> None:
    tenant = new_tenant(operator_of(system))
    tenant.seed_data({"note": NOTE}, [])
    tenant.sandbox("sms")
    result = tenant.send_and_wait({"phone": phone(1)}, "note", {"text": "t"}, channels=["sms"])
    assert [delivery["state"] for delivery in result["deliveries"]] == ["sent"]


def test_a_supervisor_has_one_thread_and_no_database_open(tmp_path):
    with running(System(tmp_path, QUICK)) as system:
        (supervisor,) = system.processes()["supervisor"]
        assert supervisor.num_threads() == 1
        assert [Path(file.path).name for file in supervisor.open_files() if "data" in file.path] == ["up.lock"]


def test_a_killed_supervisor_leaves_nothing_behind(tmp_path):
    with running(System(tmp_path, QUICK)) as system:
        children = [process for group in roles(system).values() for process in group]
        system.kill_supervisor()
        assert not psutil.wait_procs(children, TIMEOUT_S)[1]
        system.start()  # no process holds the lock of the folder
        system.wait_ready()


def test_where_no_process_can_be_copied_each_loads_its_own_code_and_a_line_says_why(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NO_FORK)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with watched(System(tmp_path, QUICK | {"PYTHONPATH": path})) as system:
        assert not any(is_copy(process) for group in roles(system).values() for process in group)
        assert_sends(system)
        kill(system, roles(system)["api"])
        system.wait_ready()
    result = [line for line in log_of(system).splitlines() if "shares no memory" in line]
    assert len(result) == 1
    assert "Resource temporarily unavailable" in result[0]


def test_copies_can_be_switched_off(tmp_path):
    with watched(System(tmp_path, QUICK | {"CLARION_WORKERS_SHARED_IMAGE": "false"})) as system:
        assert not any(is_copy(process) for group in roles(system).values() for process in group)
        kill(system, roles(system)["scheduler"])
    assert log_of(system).count("workers.shared_image is false") == 1
