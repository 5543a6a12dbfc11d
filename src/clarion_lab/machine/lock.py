"""One lock for a user's machine: whatever starts processes or measures time holds it, in whichever checkout it runs.

`python lock.py WHAT -- COMMAND` runs a command under it. This file needs no environment: only Python's own modules.

A holder puts a token into the environment of what it starts, so that a part of a run neither waits for the run nor takes
the lock again. Nothing that it starts inherits the lock itself: a process that outlives a killed holder keeps nobody waiting.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

VARIABLE: Final = "MACHINE_LOCK"
"""The environment variable that moves the file. No name here starts with `CLARION_`: those are settings of the product."""
HELD_VARIABLE: Final = "MACHINE_LOCK_HELD"
SHARED: Final = Path("/tmp")  # noqa: S108 - a folder of the user's own is made in it
CHECKOUT: Final = Path(__file__).resolve().parents[3]
WATCH_S: Final = 0.5
"""How often somebody who waits looks whether it is for another holder now."""
_PASSABLE: Final = 0o711
_PR_SET_PDEATHSIG: Final = 1
_USAGE: Final = "usage: lock.py WHAT -- COMMAND [ARGUMENT...]"


class Holder(NamedTuple):
    """Who holds the lock."""

    token: str
    process: int
    what: str
    checkout: str

    def __str__(self) -> str:
        return f"{self.what} in {self.checkout} (process {self.process})"


def own_folder(base: Path | None = None) -> Path:
    """Return this user's folder in a place that all users share, by default `SHARED`, and create it. Others can pass through and
    not list it: a database server runs as a user of its own. Raises `PermissionError` when its name is taken by something else."""
    folder = (base or SHARED) / f"clarion-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    found = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it is no folder of this user", str(folder))
    folder.chmod(_PASSABLE)
    return folder


def lock_file() -> Path:
    """Return the path of the lock."""
    moved = os.environ.get(VARIABLE)
    return Path(moved) if moved else own_folder() / "lock"


@contextlib.contextmanager
def alone(what: str) -> Iterator[None]:
    """Hold the lock, after a line on stderr for each holder that has to be waited for. What runs under a holder goes on at
    once."""
    held = os.environ.get(HELD_VARIABLE)
    descriptor = _acquired(lock_file(), what, held)
    if descriptor is None:
        yield
        return
    token = f"{os.getpid()}-{secrets.token_hex(8)}"
    record = json.dumps(Holder(token, os.getpid(), what, str(CHECKOUT)))
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, record.encode(), 0)
    os.environ[HELD_VARIABLE] = token
    try:
        yield
    finally:
        if held is None:
            del os.environ[HELD_VARIABLE]
        else:
            os.environ[HELD_VARIABLE] = held
        os.close(descriptor)


def _acquired(path: Path, what: str, held: str | None) -> int | None:
    """Return the locked file, None when a holder with the token started this process."""
    while True:
        # Python closes it in every program that it starts (PEP 446).
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if not _try(descriptor):
                holder = _holder(descriptor)
                if holder is not None and holder.token == held:
                    os.close(descriptor)
                    return None
                _wait(descriptor, what)
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, what: str) -> None:
    """Wait in the order of arrival, which the system keeps, and say for whom from the side."""
    done = threading.Event()

    def say() -> None:
        shown = None
        while True:
            holder = _holder(descriptor)
            if holder != shown:
                sys.stderr.write(f"{what} waits for the machine: {holder or 'another process'} uses it.\n")
                sys.stderr.flush()
            shown = holder
            if done.wait(WATCH_S):
                return

    beside = threading.Thread(target=say, daemon=True)
    beside.start()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        done.set()
        beside.join()


def _holder(descriptor: int) -> Holder | None:
    """Return what the holder wrote, None before it has."""
    try:
        return Holder(*json.loads(os.pread(descriptor, 65_536, 0)))
    except (ValueError, TypeError):
        return None


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether the file is still in its place: somebody may have cleaned up in the meantime."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    own = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


def run(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command to its end and return its exit code, 128 and the number of a signal that ended it. It gets the signals
    that this process gets, and on Linux a SIGTERM when this process is killed."""
    own, started = os.getpid(), list[subprocess.Popen[bytes]]()
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def ends_with_us() -> None:
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != own:
                os.kill(os.getpid(), signal.SIGTERM)

    def passed_on(number: int, _frame: object) -> None:
        if started:
            started[0].send_signal(number)

    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command as well
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, passed_on)
    process = subprocess.Popen(command, env=env, preexec_fn=ends_with_us)  # noqa: S603
    started.append(process)
    code = process.wait()
    return code if code >= 0 else 128 - code


def main(words: Sequence[str]) -> int:
    """Run the command of a command line under the lock."""
    match words:
        case [what, "--", *command] if command:
            try:
                with alone(what):
                    return run(command, os.environ)
            except OSError as error:
                sys.exit(f"{what}: cannot use {error.filename}: {error.strerror}")
            except KeyboardInterrupt:
                return 130
        case _:
            sys.exit(_USAGE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
