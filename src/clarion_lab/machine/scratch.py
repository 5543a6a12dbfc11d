"""Temporary files of a run: one folder, which goes when the run ends, and at the next run of the checkout when it was killed.

`<temporary folder>/clarion-<user>/<checkout>/<process>-<time>`; `TMPDIR` leads to it, so that what a run starts uses it, too. A
second folder of that name is in memory, for files that no test needs after a crash. The folders can be passed through, since
a database server runs as a user of its own, and their paths are short, since those of Unix sockets have to be.

A run locks a file in its folder, and the system gives that lock back when the process ends, however it ends. So a run that
begins knows the folders of dead runs. It ends the processes that they left (`TMPDIR` tells them) and removes the folders.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from clarion_lab.machine.lock import CHECKOUT, SHARED, own_folder

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of the user's own is made in it
BASE_LENGTH_MAX: Final = 30
"""Of a longer temporary folder (characters), too little of the 104 is left that a Unix socket's path may have."""
ALIVE: Final = ".alive"
KEPT: Final = ".kept"
_GUARD: Final = ".guard"
_PASSABLE: Final = 0o711
_END_S: Final = 5.0


class Run:
    """The folders of this process and of all it starts: `folder`, and `memory`, which is the same where there is no memory for
    files. With `stays`, the next run removes the files, not this one. `ended` names processes that earlier runs of the checkout
    left, and which were ended."""

    def __init__(self, checkout: Path = CHECKOUT) -> None:
        self.stays = False
        self.ended: list[str] = []
        self._owner = os.getpid()
        self._locks: list[int] = []
        base = Path(tempfile.gettempdir())
        if len(str(base)) > BASE_LENGTH_MAX:
            base = SHARED
        name = f"{os.getpid()}-{time.time_ns() // 1000:x}"
        places = dict.fromkeys([base, *([MEMORY] if os.access(MEMORY, os.W_OK) else [])])
        if SHARED not in places:  # where another run may have been
            self.ended += remove_dead(_of_checkout(SHARED, checkout))
        folders = [self._made(_of_checkout(place, checkout), name) for place in places]
        self.folder, self.memory = folders[0], folders[-1]
        self._before = os.environ.get("TMPDIR"), tempfile.tempdir
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.folder)

    def _made(self, parent: Path, name: str) -> Path:
        self.ended += remove_dead(parent)
        with _guarded(parent):
            folder = parent / name
            folder.mkdir()
            folder.chmod(_PASSABLE)
            alive = os.open(folder / ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.lockf(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._locks.append(alive)
        return folder

    def note(self) -> str:
        """Return in a sentence what was ended, an empty text when nothing was."""
        return f"An earlier run left processes, which are ended now: {', '.join(self.ended)}" if self.ended else ""

    def keep(self) -> None:
        """Leave the files in `folder` for people, also when later runs begin."""
        (self.folder / KEPT).touch()

    def leave(self) -> None:
        """End the run. Does nothing in a copy of the process."""
        if os.getpid() != self._owner or not self._locks:
            return
        variable, tempfile.tempdir = self._before
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable
        for folder in {self.folder, self.memory}:
            if not self.stays and not (folder / KEPT).exists():
                shutil.rmtree(folder, ignore_errors=True)
        while self._locks:
            os.close(self._locks.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


_current: list[Run] = []


def begin() -> Run | None:
    """Begin a run that ends with this process. Returns None in a part of a run, whose folder is used."""
    if enclosing() is not None:
        return None
    run = Run()
    atexit.register(run.leave)
    return run


@contextlib.contextmanager
def used() -> Iterator[None]:
    """Have a run for a while, unless this is part of one. After an error, the next run removes its files."""
    if enclosing() is not None:
        yield
        return
    with Run() as run:
        if run.ended:
            sys.stderr.write(f"{run.note()}\n")
        _current.append(run)
        try:
            yield
        except Exception:
            run.stays = True
            raise
        finally:
            _current.remove(run)


def keep() -> None:
    """Leave the files of `used` for people. In a part of another run that one decides."""
    for run in _current:
        run.keep()


def enclosing() -> Path | None:
    """Return the folder of the run of which this process is a part, None when it is part of none."""
    folder = Path(tempfile.gettempdir())
    return next((one for one in (folder, *folder.parents) if (one / ALIVE).exists()), None)


def in_memory() -> str | None:
    """Return a folder for files that are in memory and last as long as the run, None for the usual one."""
    run = enclosing()
    if run is None:
        return str(MEMORY) if os.access(MEMORY, os.W_OK) else None
    folder = MEMORY.joinpath(*run.parts[-3:])
    return str(folder) if (folder / ALIVE).exists() else None


def remove_dead(parent: Path) -> list[str]:
    """Remove the folders of runs that have ended, and end the processes that they left. Return the names of these."""
    with _guarded(parent):
        dead = [folder for folder in parent.iterdir() if folder.is_dir() and _is_dead(folder)]
        ended = _end_processes(dead) if dead else []
        for folder in dead:
            shutil.rmtree(folder, ignore_errors=True)
    return ended


def _is_dead(folder: Path) -> bool:
    if (folder / KEPT).exists():
        return False
    try:
        with (folder / ALIVE).open("r+b") as alive:
            fcntl.lockf(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except (BlockingIOError, PermissionError):
        return False
    return True


def _end_processes(folders: Iterable[Path]) -> list[str]:
    """End the processes whose temporary folder is one of these, and return their names."""
    import psutil  # slow, and seldom needed

    places, found, names = [str(folder) for folder in folders], [], []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            place = process.environ().get("TMPDIR", "")
            if process.pid != os.getpid() and any(f"{place}/".startswith(f"{one}/") for one in places):
                names.append(f"{process.pid} ({' '.join(process.cmdline()[:3])})")
                process.terminate()
                found.append(process)
    for process in psutil.wait_procs(found, _END_S)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return names


def _of_checkout(base: Path, checkout: Path) -> Path:
    folder = own_folder(base) / hashlib.blake2b(os.fsencode(checkout), digest_size=3).hexdigest()
    folder.mkdir(exist_ok=True)
    folder.chmod(_PASSABLE)
    return folder


@contextlib.contextmanager
def _guarded(parent: Path) -> Iterator[None]:
    """Let one process at a time begin a run: a folder without a lock in it looks like that of a dead one."""
    with (parent / _GUARD).open("wb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
