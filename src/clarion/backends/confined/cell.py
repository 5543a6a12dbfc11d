"""The process that one job runs in: what it may still do is set here, and cannot be taken back from within."""

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from clarion.backends.confined import wire
from clarion.backends.confined.wire import Bounds, Frame
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import CONFINED_FILES_MAX
from clarion.ports.drafting import BuildJob, Rendered, RenderJob

EXIT_MEMORY: Final = 3
_STATM: Final = "/proc/self/statm"
_MB: Final = 1024 * 1024
_ANSWERS_FD: Final = 3
_FDS_MAX: Final = 1_024
"""Far more than the process above has ever opened."""

Work = Callable[[BuildJob | RenderJob], Template | Rendered]
"""Does a job. Raises `InvalidField`."""


def run(job: Frame, work: Work, answers_fd: int, nothing_fd: int) -> NoReturn:
    """Do one job in this process and end it. The answer goes to a pipe, the one file that stays open."""
    code = 1
    try:
        _keep_only(answers_fd, nothing_fd)
        confine(wire.BOUNDS[job.kind])
        _write(_answer(job, work))
        code = 0
    except MemoryError:
        code = EXIT_MEMORY
    except BaseException as error:  # noqa: BLE001 - nothing may get past here: this is a copy of the process above
        _write(_told(error).encode())
    finally:
        os._exit(code)


def _answer(job: Frame, work: Work) -> bytes:
    try:
        done = work(wire.job_of(job))
    except InvalidField as error:
        return wire.REFUSED + wire.body_of(wire.Refusal(error.detail, error.field, error.code))
    except RecursionError:
        return wire.REFUSED + wire.body_of(wire.Refusal("is nested too deeply", "channels", InvalidField.code))
    if isinstance(done, Rendered) and any("MemoryError" in text for text in done.errors.values()):
        raise MemoryError  # an engine took it for an error of the template
    return wire.DONE + wire.body_of(done)


def _told(error: BaseException) -> str:
    """Return what an error is and where it was raised. Its text may hold data, which is for no log."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{place}"


def confine(bounds: Bounds) -> None:
    """Take from this process what a template does not need: memory, time, files to write, files to open, other processes,
    core dumps. What the system cannot limit stays unlimited (macOS: memory)."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, CONFINED_FILES_MAX)
    _limit(resource.RLIMIT_NPROC, 0)
    size = _size_bytes()
    if size:
        _limit(resource.RLIMIT_AS, size + bounds.memory_mb * _MB)
        _limit(resource.RLIMIT_DATA, size + bounds.memory_mb * _MB)
    # Not handled by anybody, both end the process, wherever in it the time is spent.
    signal.setitimer(signal.ITIMER_PROF, bounds.cpu_ms / 1000)
    signal.setitimer(signal.ITIMER_REAL, bounds.wait_ms / 1000)


def _limit(what: int, most: int) -> None:
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (most, most))


def _size_bytes() -> int:
    """Return the size of the address space; 0 where the system does not tell."""
    with suppress(OSError):
        fd = os.open(_STATM, os.O_RDONLY)
        try:
            return int(os.read(fd, 64).split()[0]) * resource.getpagesize()
        finally:
            os.close(fd)
    return 0


def _keep_only(answers_fd: int, nothing_fd: int) -> None:
    """Leave open the pipe of answers, as `_ANSWERS_FD`."""
    for standard in (0, 1, 2):
        os.dup2(nothing_fd, standard)
    os.dup2(answers_fd, _ANSWERS_FD)
    os.closerange(_ANSWERS_FD + 1, _FDS_MAX)


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(_ANSWERS_FD, rest) :]
