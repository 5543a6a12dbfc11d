"""The process that one job runs in: its limits are set here and cannot be raised from within."""

import fcntl
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import CONFINED_FILES_MAX
from clarion.languages.confined import landlock, wire
from clarion.languages.confined.wire import Bounds, PipeMessage
from clarion.ports.drafting import BuildJob, Rendered, RenderJob

EXIT_MEMORY: Final = 3
_STATM: Final = "/proc/self/statm"
_MB: Final = 1024 * 1024
_ANSWERS_FD: Final = 3
_RULES_FD: Final = 4
_FDS_MAX: Final = 1_024
"""Far more than the parent process ever opens."""

Work = Callable[[BuildJob | RenderJob], Template | Rendered]
"""Does a job. Raises `InvalidField` when a field of the draft is wrong."""


class Inherited(NamedTuple):
    """Descriptors that every job inherits: one for nothing, and one of the Landlock rules, None without Landlock."""

    nothing_fd: int
    rules_fd: int | None


def run(job: PipeMessage, work: Work, answers_fd: int, inherited: Inherited) -> NoReturn:
    """Do one job in this process and exit. The answer is written to a pipe, the only file that stays open."""
    code = 1
    try:
        _keep_only(answers_fd, inherited)
        confine(wire.BOUNDS[job.kind])
        if inherited.rules_fd is not None:
            landlock.restrict(_RULES_FD)
            os.close(_RULES_FD)
        _write(_answer(job, work))
        code = 0
    except MemoryError:
        code = EXIT_MEMORY
    except BaseException as error:  # noqa: BLE001 - no error may pass: this process is a fork of its parent
        _write(_error_text(error).encode())
    finally:
        os._exit(code)


def _answer(job: PipeMessage, work: Work) -> bytes:
    try:
        done = work(wire.job_of(job))
    except InvalidField as error:
        return wire.REFUSED + wire.body_of(wire.Refusal(error.detail, error.field, error.code))
    except RecursionError:
        return wire.REFUSED + wire.body_of(wire.Refusal("is nested too deeply", "channels", InvalidField.code))
    if isinstance(done, Rendered) and any("MemoryError" in text for text in done.errors.values()):
        raise MemoryError  # a template engine reported it as an error of the template
    return wire.DONE + wire.body_of(done)


def _error_text(error: BaseException) -> str:
    """Return an error's type and where it was raised, without its text, which may hold data that must not be logged."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{place}"


def confine(bounds: Bounds) -> None:
    """Limit this process to the resources that a template needs: memory, time, files to write, files to open, other
    processes, core dumps. Resources that the system cannot limit stay unlimited (macOS: memory)."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, CONFINED_FILES_MAX)
    _limit(resource.RLIMIT_NPROC, 0)
    size = _size_bytes()
    if size:
        _limit(resource.RLIMIT_AS, size + bounds.memory_mb * _MB)
        _limit(resource.RLIMIT_DATA, size + bounds.memory_mb * _MB)
    # No handler is set, so both signals end the process in any code.
    signal.setitimer(signal.ITIMER_PROF, bounds.cpu_ms / 1000)
    signal.setitimer(signal.ITIMER_REAL, bounds.wait_ms / 1000)


def _limit(what: int, most: int) -> None:
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (most, most))


def _size_bytes() -> int:
    """Return the size of the address space in bytes; 0 where the system does not report it."""
    with suppress(OSError):
        fd = os.open(_STATM, os.O_RDONLY)
        try:
            return int(os.read(fd, 64).split()[0]) * resource.getpagesize()
        finally:
            os.close(fd)
    return 0


def _keep_only(answers_fd: int, inherited: Inherited) -> None:
    """Close all files except the pipe of answers, which becomes `_ANSWERS_FD`, and the rules, which become
    `_RULES_FD`."""
    kept = [inherited.nothing_fd] * 3 + [answers_fd]
    if inherited.rules_fd is not None:
        kept.append(inherited.rules_fd)
    # Copies first: a descriptor may have the number that another one is to get.
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD, len(kept)) for fd in kept]
    for place, copy in enumerate(copies):
        os.dup2(copy, place)
    os.closerange(len(kept), _FDS_MAX)


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(_ANSWERS_FD, rest) :]
