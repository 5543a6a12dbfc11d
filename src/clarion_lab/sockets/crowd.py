"""The clients of the bench, in a process of their own: `python -m clarion_lab.sockets.crowd`.

It reads one line of JSON, opens a connection for each token, prints `ready` when all were welcomed, and on the next line prints
what it got.
"""

import asyncio
import sys
import time
from typing import Final

import msgspec
import uvloop

from clarion_lab.load.programs import HOST
from clarion_lab.sockets.page import DECODER, Page

_CONNECTING_MAX: Final = 64


class Job(msgspec.Struct, frozen=True):
    """What to connect to."""

    port: int
    tokens: list[str]


class Got(msgspec.Struct):
    """What came: all frames, the time from send to arrival of each item, and connections that ended."""

    frames: int = 0
    late_us: list[int] = []
    lost: int = 0


class Crowd:
    """Many pages."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._missing = len(job.tokens)
        self._welcomed = asyncio.Event()
        self._pages: list[Page] = []
        self.got = Got(late_us=[])

    async def connect(self) -> None:
        """Open all connections, and return when each was welcomed."""
        room = asyncio.Semaphore(_CONNECTING_MAX)
        await asyncio.gather(*(self._open(token, room) for token in self._job.tokens))
        await self._welcomed.wait()

    async def _open(self, token: str, room: asyncio.Semaphore) -> None:
        async with room:
            page = Page(token, None, self._heard, self._ended)
            await asyncio.get_running_loop().create_connection(lambda: page, HOST, self._job.port)
            self._pages.append(page)

    def _heard(self, _page: Page, payload: bytes) -> None:
        self.got.frames += 1
        message = DECODER.decode(payload)
        if message.item is not None:
            sent_ns = int(message.item["content"]["title"].rpartition(" ")[2])
            self.got.late_us.append((time.time_ns() - sent_ns) // 1000)
        elif message.type == "welcome":
            self._missing -= 1
            if not self._missing:
                self._welcomed.set()

    def _ended(self, _page: Page) -> None:
        self.got.lost += 1


async def _run() -> None:
    loop = asyncio.get_running_loop()
    crowd = Crowd(msgspec.json.decode(await loop.run_in_executor(None, sys.stdin.readline), type=Job))
    await crowd.connect()
    _say(b"ready")
    while await loop.run_in_executor(None, sys.stdin.readline):
        _say(msgspec.json.encode(crowd.got))
        crowd.got = Got(late_us=[])


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(_run())
