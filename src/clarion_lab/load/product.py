"""Whose code the processes of a run execute: a checkout put first on the path of all of them, and a witness of what each really
imported."""

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
"""Python runs a `sitecustomize` before anything else, in children of children too, so this is the import that counts."""


class Member(NamedTuple):
    """A process of the product: its command tells a forked copy from a program that was started."""

    pid: int
    parent: int
    command: tuple[str, ...]


class Product:
    """The product of the checkout at `root`, run from there whatever is installed. Witnesses lie in `folder`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._source = root / "src"
        self._witnesses = folder
        folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(_WITNESS)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that make a process run this code. Bytecode is kept, so that no measurement holds compiling."""
        return {"PYTHONPATH": f"{self._witnesses}{os.pathsep}{self._source}", "PYTHONDONTWRITEBYTECODE": ""}

    def verify(self, processes: Iterable[psutil.Process]) -> None:
        """Raise `RunError` unless every one of these processes imported the product from this checkout."""
        members: list[Member] = []
        for process in processes:
            try:
                members.append(Member(process.pid, process.ppid(), tuple(process.cmdline())))
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        self.check(members)

    def check(self, members: Iterable[Member]) -> None:
        """Raise `RunError` unless each imported the product from this checkout; a forked copy has what its parent imported."""
        known = {member.pid: member for member in members}
        for member in known.values():
            origin = self._origin(member.pid)
            parent = known.get(member.parent)
            if origin is None and parent is not None and parent.command == member.command:
                origin = self._origin(parent.pid)
            if origin is None:
                raise RunError(f"process {member.pid} ({' '.join(member.command)}) did not tell which code it runs")
            if not origin.is_relative_to(self._source.resolve()):
                raise RunError(f"process {member.pid} runs {origin} and not the code below {self._source}")

    def _origin(self, pid: int) -> Path | None:
        witness = self._witnesses / str(pid)
        return Path(witness.read_text()).resolve() if witness.exists() else None
