"""The clients of the bench, in a process of their own: `python -m clarion_lab.sockets.crowd`.

It reads one line of JSON, opens a connection for each token, prints `ready` when all were welcomed, and on the next line prints
what it got.
"""

import asyncio
import sys
import time
from typing import Final, Literal

import msgspec
import uvloop

from clarion_lab.load.programs import HOST
from clarion_lab.sockets import centrifugo
from clarion_lab.sockets.page import DECODER, Page, hello

_CONNECTING_MAX: Final = 64


class Job(msgspec.Struct, frozen=True):
    """What to connect to."""

    port: int
    tokens: list[str]
    server: Literal["clarion", "centrifugo"] = "clarion"
    """Of Centrifugo, tokens are channels."""


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
            page = self._page(token)
            await asyncio.get_running_loop().create_connection(lambda: page, HOST, self._job.port)
            self._pages.append(page)

    def _page(self, token: str) -> Page:
        if self._job.server == "clarion":
            return Page(hello(token), self._heard, self._ended)
        return Page(centrifugo.hello(token), self._heard_of_centrifugo, self._ended, centrifugo.PATH, waits=True)

    def _heard_of_centrifugo(self, page: Page, payload: bytes) -> None:
        """Read a frame, which may hold several messages."""
        for message in centrifugo.messages(payload):
            if message.is_ping and page.transport is not None:
                page.transport.write(centrifugo.PONG)
            elif message.push is not None:
                self.got.frames += 1
                if message.push.pub.data.sent_ns:
                    self.got.late_us.append((time.time_ns() - message.push.pub.data.sent_ns) // 1000)
            elif message.subscribe is not None:
                self._welcome()

    def _heard(self, _page: Page, payload: bytes) -> None:
        self.got.frames += 1
        message = DECODER.decode(payload)
        if message.item is not None:
            sent_ns = int(message.item["content"]["title"].rpartition(" ")[2])
            self.got.late_us.append((time.time_ns() - sent_ns) // 1000)
        elif message.type == "welcome":
            self._welcome()

    def _welcome(self) -> None:
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
