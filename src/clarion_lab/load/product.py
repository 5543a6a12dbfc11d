"""The code that the processes of a run execute: a checkout put first on the path of all of them, and a witness of the
module that each really imported."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from clarion_lab.load.programs import RunError

_WITNESS: Final = """\
import os, pathlib
import clarion
(pathlib.Path(__file__).parent / str(os.getpid())).write_text(clarion.__file__)
"""
"""Python runs a `sitecustomize` before any other code, in children of children too, so this import decides."""


_FLAGS: Final = 6
"""Field of /proc/<pid>/stat after the name of the process, see proc(5)."""
_PF_FORKNOEXEC: Final = 0x40


class Member(NamedTuple):
    """A process of the product; `copied` is whether it is a copy of its parent and not a started program."""

    pid: int
    parent: int
    command: tuple[str, ...]
    copied: bool


class Product:
    """The product of the checkout at `root`, run from there even if another one is installed. Witnesses are in
    `folder`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._source = root / "src"
        self._witnesses = folder
        folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(_WITNESS)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that make a process run this code. Bytecode is stored, so that no measurement includes
        compilation."""
        return {"PYTHONPATH": f"{self._witnesses}{os.pathsep}{self._source}", "PYTHONDONTWRITEBYTECODE": ""}

    def verify(self, processes: Iterable[psutil.Process]) -> None:
        """Raise `RunError` unless every one of these processes imported the product from this checkout."""
        members: list[Member] = []
        for process in processes:
            try:
                command, parent = tuple(process.cmdline()), process.ppid()
                members.append(Member(process.pid, parent, command, _is_copy(process)))
            except (psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
                continue
        self.check(members)

    def check(self, members: Iterable[Member]) -> None:
        """Raise `RunError` unless each imported the product from this checkout; a copy has the modules of its
        parent."""
        known = {member.pid: member for member in members}
        for member in known.values():
            first = member
            while first.copied and first.parent in known:
                first = known[first.parent]
            origin = self._origin(first.pid)
            if origin is None:
                raise RunError(f"process {member.pid} ({' '.join(member.command)}) did not report which code it runs")
            if not origin.is_relative_to(self._source.resolve()):
                raise RunError(f"process {member.pid} runs {origin} and not the code below {self._source}")

    def _origin(self, pid: int) -> Path | None:
        witness = self._witnesses / str(pid)
        return Path(witness.read_text()).resolve() if witness.exists() else None


def _is_copy(process: psutil.Process) -> bool:
    """Return whether a process was forked and runs no program of its own. Raises `OSError` when it has ended."""
    if psutil.LINUX:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return bool(int(fields[_FLAGS]) & _PF_FORKNOEXEC)
    parent = process.parent()
    return parent is not None and parent.cmdline() == process.cmdline()
