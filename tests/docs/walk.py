"""Follows a page as a reader would: its shell blocks run in order, in one shell, against a fresh `clarion up`.

| block | what happens to it |
|---|---|
| `sh` | is run; a failing command fails the page, and so does a refusal that the page does not show |
| `json` or `text` after one | is compared with what the block printed; `...` matches anything |
| a language and a file name | is written to that file |
| `console` | is not run: `clarion up` in it gives the variables with which this page's installation is started |

A page names the ports 8400, 8401 and 9000 and folders in `/tmp`; the walk replaces them with free ports and its own folder.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clarion_lab.load.programs import System, running
from clarion_lab.machine.ports import free_port

ROOT = Path(__file__).parents[2]
API_PORT, LIVE_PORT, HOOK_PORT = "8400", "8401", "9000"
BLOCK_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 20.0
POLL_S = 0.05
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_UP = re.compile(r"^((?:CLARION_\w+=\S+ )*)\.venv/bin/clarion up\b", re.MULTILINE)
_READS = re.compile(r"(call|mine) GET |curl (?!.*(-d|-X) )|\.venv/bin/clarion status |cat |grep ")
_MARK = "-- end of block --"


class Block(NamedTuple):
    """A fenced block of a page and its first line."""

    language: str
    file: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    source = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2] or "", m[3], source.count("\n", 0, m.start()) + 1) for m in _BLOCK.finditer(source)]


def variables(page: Path) -> dict[str, str]:
    """Return the variables with which a page starts `clarion up`."""
    for block in blocks(page):
        if block.language == "console" and (found := _UP.search(block.text)):
            return dict(pair.split("=", 1) for pair in _with_folder(found[1]).split())
    return {}


@contextlib.contextmanager
def installation(folder: Path, environment: dict[str, str], python: str = sys.executable) -> Iterator[System]:
    """Run `clarion up` for pages whose working directory is `folder`, laid out like a checkout: with `.venv`, whose
    programs run by `python`, and `clarion-data`."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, words in (("clarion", "-m clarion "), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{python}" {words}"$@"\n')
        (programs / name).chmod(0o755)
    with_gateway = environment.get("CLARION_GATEWAY_PORT") == LIVE_PORT
    environment = {name: value for name, value in environment.items() if name != "CLARION_GATEWAY_PORT"}
    own = {"CLARION_DATA_DIR": str(folder / "clarion-data"), "CLARION_WORKERS_COUNT": "1"}
    with running(System(folder, own | environment, python, with_gateway=with_gateway)) as system:
        yield system


def walk(page: Path, system: System) -> None:
    """Follow a page. Raises `AssertionError` naming the line of the first block whose result differs from the page."""
    ports = {API_PORT: str(system.port), LIVE_PORT: str(system.gateway_port), HOOK_PORT: str(free_port())}
    steps = blocks(page)
    with _shell(system) as shell:
        for block, after in zip(steps, [*steps[1:], None], strict=True):
            text = _with_ports(block.text, ports)
            if block.file:
                (system.folder / block.file).write_text(text)
            elif block.language == "sh":
                shown = after if after is not None and after.language in ("json", "text") and not after.file else None
                _follow(shell, f"{page.name}:{block.line}", text, shown, ports)


def _follow(shell: "Shell", place: str, text: str, shown: Block | None, ports: dict[str, str]) -> None:
    """Run a block and compare. As readers do, repeat the request until the response is the one on the page: the last line
    of the block runs again, if it only reads."""
    printed = shell.run(text, place)
    if shown is None:
        assert '"urn:clarion:' not in printed, f"{place} was refused: {printed}"
        return
    question = text.rstrip().splitlines()[-1]
    deadline = time.monotonic() + (ANSWER_TIMEOUT_S if _READS.match(question) else 0)
    while difference := differs(shown, _with_ports(shown.text, ports), printed):
        assert time.monotonic() < deadline, f"{place}: {difference}\nprinted: {printed}"
        time.sleep(POLL_S)
        printed = shell.run(question, place)


def differs(shown: Block, text: str, printed: str) -> str:
    """Return where a response differs from the page, or an empty string."""
    if shown.language == "text":
        return "" if _alike(text.strip(), printed.strip()) else f"not as shown in line {shown.line}"
    try:
        answer = json.loads(printed.strip().splitlines()[-1])
    except (json.JSONDecodeError, IndexError):
        return "the last line is not JSON"
    return _json_differs(json.loads(text), answer, "answer")


def _json_differs(shown: Any, real: Any, path: str) -> str:
    """Compare two values. A response may have more fields than the page shows, and more items where the list ends in `...`."""
    if isinstance(shown, dict) and isinstance(real, dict):
        missing = sorted(shown.keys() - real.keys())
        if missing:
            return f"{path} has no {missing[0]}"
        return next(filter(None, (_json_differs(shown[k], real[k], f"{path}.{k}") for k in shown)), "")
    if isinstance(shown, list) and isinstance(real, list):
        open_end = bool(shown) and shown[-1] == "..."
        wanted = shown[:-1] if open_end else shown
        if len(real) < len(wanted) or (len(real) > len(wanted) and not open_end):
            return f"{path} has {len(real)} items"
        pairs = enumerate(zip(wanted, real, strict=False))
        return next(filter(None, (_json_differs(a, b, f"{path}[{i}]") for i, (a, b) in pairs)), "")
    if shown == "..." or (isinstance(shown, str) and isinstance(real, str) and _alike(shown, real)):
        return ""
    return "" if type(shown) is type(real) and shown == real else f"{path} is {real!r}"


def _alike(shown: str, real: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split("..."))), real, re.DOTALL) is not None


def _with_ports(text: str, ports: dict[str, str]) -> str:
    return re.sub(r"\b(8400|8401|9000)\b", lambda match: ports[match[0]], _with_folder(text))


def _with_folder(text: str) -> str:
    return text.replace("/tmp/", f"{tempfile.gettempdir()}/")  # noqa: S108


class Shell:
    """One bash process for a whole page, which keeps variables and functions. It ends at the first command that fails."""

    def __init__(self, process: subprocess.Popen[str], errors: Path, scratch: Path) -> None:
        self._process = process
        self._errors = errors
        self._scratch = scratch

    def run(self, text: str, place: str) -> str:
        """Return the output of a block."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._scratch.write_text(text)
        # Read from a file, so that a command that reads stdin does not consume the page.
        self._process.stdin.write(f"source {self._scratch} </dev/null; printf '\\n{_MARK}\\n'\n")
        self._process.stdin.flush()
        watchdog = threading.Timer(BLOCK_TIMEOUT_S, os.killpg, (self._process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            lines = []
            while (line := self._process.stdout.readline()) != f"{_MARK}\n":
                assert line, f"{place}: a command failed\n{''.join(lines)}{self._errors.read_text()[-2000:]}"
                lines.append(line)
            return "".join(lines)
        finally:
            watchdog.cancel()


@contextlib.contextmanager
def _shell(system: System) -> Iterator[Shell]:
    folder = system.folder
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
    environment["CLARION_API_PORT"] = str(system.port)
    errors = folder / "shell.err"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Shell(process, errors, folder / "block.sh")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
