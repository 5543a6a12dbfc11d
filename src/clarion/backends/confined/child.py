"""One confined process, as the API sees it: started, asked, ended."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from clarion.backends.confined import wire
from clarion.backends.confined.wire import HEAD, Frame
from clarion.domain.limits_content import (
    CONFINED_END_MS_MAX,
    CONFINED_FRAME_BYTES_MAX,
    CONFINED_JOBS_MAX,
    CONFINED_START_MS_MAX,
)


class Command(NamedTuple):
    """How a confined process is started: with nothing of the environment but what is said here."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class Broken(Exception):
    """The process is gone, or says what it cannot say."""


class Child:
    """A process that does one job at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes
        self._process = process
        self._jobs = process.stdin
        self._answers = process.stdout
        self._asked = 0

    @classmethod
    async def start(cls, command: Command) -> "Child":
        """Return a process that is ready. Raises `Broken`, and `OSError` when there can be no further process."""
        process = await asyncio.create_subprocess_exec(
            *command.arguments, env=command.environment, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        child = cls(process)
        try:
            async with asyncio.timeout(CONFINED_START_MS_MAX / 1000):
                ready = await child._answer()
            if ready.kind != wire.READY:
                raise Broken("the process started with something else than that it is ready")
        except BaseException:
            await child.kill()
            raise
        return child

    @property
    def pid(self) -> int:
        """The id of the process, which is that of its group too."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it lives and has not done so much that a fresh one should take its place."""
        return self._process.returncode is None and self._asked < CONFINED_JOBS_MAX

    async def ask(self, job: Frame) -> Frame:
        """Return the answer to a job. Raises `Broken`, and `TimeoutError` when there is none in time; after either, and
        when it is cancelled, the process is of no further use."""
        self._asked += 1
        # The process ends a job that takes too long by itself; this is for when it cannot.
        async with asyncio.timeout(wire.BOUNDS[job.kind].wait_ms / 1000 + CONFINED_END_MS_MAX / 1000):
            try:
                self._jobs.write(wire.packed(job))
                await self._jobs.drain()
                return await self._answer()
            except (OSError, asyncio.IncompleteReadError):
                raise Broken("the process was killed") from None

    async def _answer(self) -> Frame:
        try:
            kind, size = HEAD.unpack(await self._answers.readexactly(HEAD.size))
            if size > CONFINED_FRAME_BYTES_MAX:
                raise Broken("the answer is too large")
            return Frame(kind, await self._answers.readexactly(size))
        except asyncio.IncompleteReadError:
            raise Broken("the process has ended") from None

    async def end(self) -> None:
        """Let it end, as it does when there will be no more jobs."""
        self._jobs.close()
        try:
            async with asyncio.timeout(CONFINED_END_MS_MAX / 1000):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it now, with the job that it does."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._jobs.close()
        await self._process.wait()
