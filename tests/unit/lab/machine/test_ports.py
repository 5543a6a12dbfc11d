"""Ports of tests: below those of outgoing connections, and never the same for two processes, whether or not they listen yet."""

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clarion_lab.machine import lock, ports

ROOT = Path(__file__).parents[4]
FIRST_OF_LINUX = 32_768
CLAIM = """
import sys
from pathlib import Path
from clarion_lab.machine import lock, ports
lock.SHARED = Path(sys.argv[1])
try:
    print(*(ports.free_port() for _ in range(int(sys.argv[2]))), flush=True)
except ports.NoPort as error:
    print(error, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def of(tmp_path, monkeypatch):
    """Return a function that sets the range to this many ports, claimed in a file that nobody else has."""

    def of(number):
        first = 30_000 + secrets.randbelow(2_700 - number)
        monkeypatch.setenv(ports.VARIABLE, f"{first}-{first + number - 1}")
        return range(first, first + number)

    return of


@contextlib.contextmanager
def claimers(folder, *numbers):
    """Start processes that claim this many ports each at the same time; yield them."""
    command = [sys.executable, "-c", CLAIM, str(folder)]
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for number in numbers
        ]
        for process in started:
            stack.callback(process.kill)
        yield started


def test_processes_that_ask_at_once_get_different_ports(tmp_path, of):
    wanted = of(250)
    with claimers(tmp_path, 50, 50, 50, 50) as started:
        found = [int(port) for process in started for port in process.stdout.readline().split()]
    assert len(found) == len(set(found)) == 200
    assert set(found) <= set(wanted)
    assert max(found) < FIRST_OF_LINUX


def test_a_port_belongs_to_its_process_while_nothing_listens_and_is_free_after_a_kill(tmp_path, of):
    (port,) = of(1)
    with claimers(tmp_path, 1) as (first,):
        assert first.stdout.readline() == f"{port}\n"
        with claimers(tmp_path, 1) as (second,):
            assert second.stdout.readline() == f"All ports of TEST_PORTS {port}-{port} are taken.\n"
        first.send_signal(signal.SIGKILL)
        first.wait()
        with claimers(tmp_path, 1) as (third,):
            assert third.stdout.readline() == f"{port}\n"


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_port_on_which_something_listens_is_passed_by(tmp_path, of):
    chosen = of(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", chosen[0]))
        taken.listen()
        with claimers(tmp_path, 1) as (process,):
            assert process.stdout.readline() == f"{chosen[1]}\n"


def test_a_child_takes_nothing_from_its_parent(tmp_path, of):
    """A server that a test forks ends before the test does."""
    (port,) = of(1)
    forks = CLAIM.replace(
        "sys.stdin.read()",
        "import os\nif os.fork() == 0: os._exit(0)\nos.wait()\nprint('forked', flush=True)\nsys.stdin.read()",
    )
    with subprocess.Popen(
        [sys.executable, "-c", forks, str(tmp_path), "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert [parent.stdout.readline(), parent.stdout.readline()] == [f"{port}\n", "forked\n"]
        with claimers(tmp_path, 1) as (second,):
            assert "are taken" in second.stdout.readline()
        parent.kill()


def test_the_default_range_lies_below_outgoing_connections(monkeypatch):
    monkeypatch.delenv(ports.VARIABLE, raising=False)
    chosen = ports.port_range()
    assert 1024 <= chosen[0] <= chosen[-1] < FIRST_OF_LINUX
    assert len(chosen) >= 5_000


@pytest.mark.parametrize("text", ["20000", "30000-20000", "20000-32768", "80-90", "a-b", "-1-5"])
def test_another_range_is_refused_in_a_sentence(monkeypatch, text):
    monkeypatch.setenv(ports.VARIABLE, text)
    with pytest.raises(
        ports.NoPort, match=r"^TEST_PORTS is '.*', not a range within 1024-32767 such as 20000-29999\.$"
    ):
        ports.port_range()


def test_claims_are_in_the_folder_of_the_user():
    assert lock.own_folder() == Path(f"/tmp/clarion-{os.geteuid()}")  # noqa: S108


def test_there_is_one_way_to_choose_a_port():
    """A port that is asked of the system and closed for a server may be given to an outgoing connection in between."""
    given_on = re.compile(r"with socket\.socket\(.*\) as (\w+):\n\s+\1\.bind\(\(.*, 0\)\)\n\s+return ")
    named = re.compile(r"^\s*def (?:\w+_)?free_port\(", re.MULTILINE)
    sources = [path for folder in ("src", "tests", "lab") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sources}
    assert [path for path, text in found.items() if given_on.search(text)] == []
    assert [path for path, text in found.items() if named.search(text)] == ["src/clarion_lab/machine/ports.py"]
