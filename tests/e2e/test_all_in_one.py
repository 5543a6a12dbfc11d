"""`clarion all-in-one` for an operator: startup errors are one sentence, and it ends on SIGTERM."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from clarion_lab.machine.ports import free_port
from tests.certificates import ServerFiles, written

pytestmark = pytest.mark.processes
TIMEOUT_S = 30


@contextlib.contextmanager
def started(folder, port, command="all-in-one", **settings):
    env = {
        **os.environ,
        "CLARION_API_PORT": str(port),
        "CLARION_DATA_DIR": str(folder),
        "CLARION_STORE": "sqlite",
    } | settings
    arguments = [sys.executable, "-m", "clarion", command]
    with subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until_ready(port):
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status
        time.sleep(0.1)
    raise AssertionError("it did not start")


@pytest.mark.parametrize("command", ["all-in-one", "api"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal_with_success(tmp_path, command, number):
    port = free_port()
    with started(tmp_path / "data", port, command) as process:
        assert until_ready(port) == 200
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, output
        assert [output.count(f" {event} ") for event in ("api_stopping", "api_stopped")] == [1, 1]
        assert "Traceback" not in output


@pytest.mark.parametrize("store", ["sqlite", "memory"])
def test_a_port_in_use_is_reported_in_one_sentence(tmp_path, store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with started(tmp_path / "data", port, CLARION_STORE=store) as process:
            output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    assert output.splitlines()[-1] == f"clarion: Cannot listen on 127.0.0.1:{port}: is it taken?"
    assert "Traceback" not in output


def test_a_certificate_with_the_key_of_another_is_reported_in_one_sentence(tmp_path):
    ours = ServerFiles(tmp_path)
    other = written(tmp_path / "other.key", ours.authority.issue()[1])
    pair = {"CLARION_API_TLS_CERTIFICATE_FILE": str(ours.certificate), "CLARION_API_TLS_KEY_FILE": str(other)}
    with started(tmp_path / "data", free_port(), "api", **pair) as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    what = f"{other} holds a key that does not match the first certificate in {ours.certificate}"
    assert output == f"clarion: Setting api.tls.key_file: {what}.\n"


def test_stores_in_memory_say_that_the_files_there_are_not_used(tmp_path):
    port = free_port()
    for store, lines in (("sqlite", 0), ("memory", 1)):
        with started(tmp_path / "data", port, CLARION_STORE=store) as process:
            until_ready(port)
            process.terminate()
            output, _ = process.communicate(timeout=TIMEOUT_S)
        assert output.count("files_left_alone") == lines


@pytest.mark.parametrize("second", ["all-in-one", "up"])
def test_two_on_one_directory_are_refused(tmp_path, second):
    port = free_port()
    with started(tmp_path / "data", port) as process:
        until_ready(port)
        assert (tmp_path / "data" / "run" / "all-in-one.pid").read_text().strip() == str(process.pid)
        with started(tmp_path / "data", free_port(), second) as other:
            output, _ = other.communicate(timeout=TIMEOUT_S)
            assert other.returncode == 2
            assert f"Clarion already runs on {tmp_path / 'data'} (process {process.pid})" in output
