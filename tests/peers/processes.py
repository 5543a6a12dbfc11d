"""Programs of the environment of peers, as processes: none of its packages are imported here."""

import base64
import contextlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
BIN = ROOT / ".venv-peers" / "bin"


def program(name: str) -> str:
    """Return the path of a program. Fails, rather than skips, when it is missing."""
    path = BIN / name
    assert path.exists(), f"{name} is missing from the environment of peers: run `make peers`"
    return str(path)


class Peer:
    """A client of a running `verify.py`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, check: str, **given: Any) -> dict[str, Any]:
        """Return the whole response."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"check": check, **given}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def says(self, check: str, **given: Any) -> Any:
        """Return the result. Raises `AssertionError` when the other implementation raised."""
        answer = self.ask(check, **given)
        assert "said" in answer, answer
        return answer["said"]


@contextlib.contextmanager
def verifying() -> Iterator[Peer]:
    """Run `verify.py` and yield its client."""
    command = [program("python"), "-W", "ignore", str(HERE / "verify.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Peer(process)
        finally:
            process.terminate()


@contextlib.contextmanager
def serving(*command: str, **environment: str) -> Iterator[int]:
    """Run a server that says `Running on http://127.0.0.1:<port>` when it listens; yield the port."""
    given = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=given, cwd=HERE
    ) as process:
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if found := re.search(r"Running on https?://[^:]+:(\d+)", line):
                    break
            else:
                raise AssertionError("".join(said))
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield int(found[1])
        finally:
            process.terminate()


def base64_of(data: bytes) -> str:
    """Return bytes as Base64 text for a line of JSON."""
    return base64.b64encode(data).decode()
