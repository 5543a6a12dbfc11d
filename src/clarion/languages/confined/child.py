"""The API's side of one confined process: start, ask, end."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from clarion.domain.limits_content import (
    CONFINED_END_MS_MAX,
    CONFINED_FRAME_BYTES_MAX,
    CONFINED_JOBS_MAX,
    CONFINED_START_MS_MAX,
)
from clarion.languages.confined import wire
from clarion.languages.confined.wire import HEAD, PipeMessage


class Command(NamedTuple):
    """The command of a confined process, with its complete environment: nothing is inherited."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class Broken(Exception):
    """Raised when the process has ended or sends an invalid message."""


class ConfinedChild:
    """A process that does one job at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes
        self._process = process
        self._jobs = process.stdin
        self._answers = process.stdout
        self._asked = 0

    @classmethod
    async def start(cls, command: Command) -> "ConfinedChild":
        """Return a process that is ready. Raises `Broken` when it ends or sends an invalid message, `TimeoutError` when
        it is not ready in time, and `OSError` when no further process can be started."""
        process = await asyncio.create_subprocess_exec(
            *command.arguments, env=command.environment, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        child = cls(process)
        try:
            async with asyncio.timeout(CONFINED_START_MS_MAX / 1000):
                ready = await child._answer()
            if ready.kind != wire.READY:
                raise Broken("the first message of the process is not that it is ready")
        except BaseException:
            await child.kill()
            raise
        return child

    @property
    def pid(self) -> int:
        """The id of the process, which is also the id of its group."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether the process is running and has done fewer jobs than the number after which it is replaced."""
        return self._process.returncode is None and self._asked < CONFINED_JOBS_MAX

    async def ask(self, job: PipeMessage) -> PipeMessage:
        """Return the answer to a job. Raises `Broken`, and `TimeoutError` when there is no answer in time. After
        either, and after a cancellation, the process cannot be used any more."""
        self._asked += 1
        # The process ends a job that takes too long by itself; this time-out is for when it cannot.
        async with asyncio.timeout(wire.BOUNDS[job.kind].wait_ms / 1000 + CONFINED_END_MS_MAX / 1000):
            try:
                self._jobs.write(wire.packed(job))
                await self._jobs.drain()
                return await self._answer()
            except (OSError, asyncio.IncompleteReadError):
                raise Broken("the process was killed") from None

    async def _answer(self) -> PipeMessage:
        try:
            kind, size = HEAD.unpack(await self._answers.readexactly(HEAD.size))
            if size > CONFINED_FRAME_BYTES_MAX:
                raise Broken("the answer is too large")
            return PipeMessage(kind, await self._answers.readexactly(size))
        except asyncio.IncompleteReadError:
            raise Broken("the process has ended") from None

    async def end(self) -> None:
        """Let the process end by closing its pipe of jobs; kill it when it does not end in time."""
        self._jobs.close()
        try:
            async with asyncio.timeout(CONFINED_END_MS_MAX / 1000):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kill the process and the job it is doing."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._jobs.close()
        await self._process.wait()
