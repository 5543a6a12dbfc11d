"""The case `sockets`: connections are cut after every frame, gateways are killed, and thousands return at once, while singles
and broadcasts arrive. A client that is told that it recovered everything has got each item once."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console

from clarion.app.cli.remote import Remote
from clarion_lab.load import people, seed_data
from clarion_lab.load.programs import HOST, RunError, System, running
from clarion_lab.sockets.installation import MANY, OneMoreGateway, answers, one_more, tokens
from clarion_lab.sockets.page import DECODER, Page, hello

CLIENTS: Final = 2_000
WALKERS: Final = 100
"""Clients that are cut after every frame; the others when a gateway dies."""
KILLS: Final = 4
ROUNDS: Final = 3
"""Rounds of singles to everyone and of broadcasts, after each kill."""
CUTS_MIN: Final = 2_000
_PATTERN: Final = (1, 2, 3, 1, 2, 5)
"""After how many frames a walker is cut: each time the next of these."""
_RETRY_S: Final = 0.1
_BATCH: Final = 100
_STALL_S: Final = 30.0


class Verdict(NamedTuple):
    """What came of a run. `reloads` are clients that were told to read their lists again, which nothing here justifies."""

    clients: int
    cuts: int
    kills: int
    recoveries: int
    items: int
    gaps: int
    repeats: int
    reloads: int
    p99_back_ms: float

    @property
    def passed(self) -> bool:
        """Return whether enough was cut, and nothing was missed or repeated."""
        return self.cuts >= CUTS_MIN and not (self.gaps or self.repeats or self.reloads)


class Walker:
    """One client, over all of its connections."""

    def __init__(self, run: "Run", user: str, token: str, frames: Iterator[int] | None) -> None:
        self._run, self.user, self._token, self._frames = run, user, token, frames
        self.position: str | None = None
        self.got = Counter[str]()
        self.cuts = self.recoveries = self.reloads = 0
        self.greeted = asyncio.Event()
        self._left = 0
        self._lost_s = 0.0

    async def connect(self) -> None:
        """Connect to one of the gateways, for as long as it takes."""
        loop = asyncio.get_running_loop()
        self._left = next(self._frames) if self._frames is not None else 0
        while not self._run.ended:
            try:
                await loop.create_connection(
                    lambda: Page(hello(self._token, self.position), self._heard, self._ended), HOST, self._run.port()
                )
                return
            except OSError:
                await asyncio.sleep(_RETRY_S)

    def _heard(self, page: Page, payload: bytes) -> None:
        message = DECODER.decode(payload)
        if message.type == "welcome":
            self.greeted.set()
            if self.position is not None:
                self.recoveries += message.recovered
                self.reloads += not message.recovered
                self._run.back_s.append(asyncio.get_running_loop().time() - self._lost_s)
        if message.item is not None:
            self.got[message.item["notification_id"]] += 1
        self.position = message.position or self.position
        self._left -= 1
        if self._left == 0:
            page.cut()

    def _ended(self, _page: Page) -> None:
        if not self._run.ended:
            self.cuts += self.position is not None
            self._lost_s = asyncio.get_running_loop().time()
            self._run.later(self.connect())


class Run:
    """One run on an installation with two gateways."""

    def __init__(self, system: System, gateway: OneMoreGateway, client: Remote, console: Console) -> None:
        self._system, self._gateway, self._client, self._console = system, gateway, client, console
        self._users = [people.user_id(number) for number in range(CLIENTS)]
        self._sent: dict[str, list[str]] = {user: [] for user in self._users}
        self._everyone: list[str] = []
        self._tasks = set[asyncio.Task[None]]()
        self._ports = itertools.cycle((system.gateway_port, gateway.port))
        self.back_s: list[float] = []
        self.ended = False

    def port(self) -> int:
        """Return the port of the next gateway, in turn."""
        return next(self._ports)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self) -> Verdict:
        """Return the verdict. Raises `RunError` when a gateway does not come back."""
        signed = tokens(self._system.folder / "data", self._users)
        walkers = [
            Walker(self, user, token, itertools.cycle(_PATTERN) if number < WALKERS else None)
            for number, (user, token) in enumerate(zip(self._users, signed, strict=True))
        ]
        for walker in walkers:
            self.later(walker.connect())
        async with asyncio.timeout(_STALL_S * 4):
            await asyncio.gather(*(walker.greeted.wait() for walker in walkers))
        self._console.print(f"{len(walkers)} clients are connected", highlight=False)
        await self._send()
        for number in range(KILLS):
            traffic = asyncio.create_task(self._send())
            await asyncio.sleep(0.2)
            await asyncio.to_thread(self._kill, number)
            await traffic
            self._console.print(f"gateways killed {number + 1} times", highlight=False)
        await self._until_whole(walkers)
        self.ended = True
        return self._verdict(walkers)

    def _kill(self, number: int) -> None:
        """Kill both gateways at once, one in every second turn."""
        if number % 2 == 0:
            self._gateway.kill()
        for process in self._system.processes().get("gateway", []):
            process.kill()
        if number % 2 == 0:
            self._gateway.start()

    async def _send(self) -> None:
        for _ in range(ROUNDS):
            await asyncio.to_thread(self._send_round)

    def _send_round(self) -> None:
        for first in range(0, CLIENTS, _BATCH):
            users = self._users[first : first + _BATCH]
            bodies = [_single(user) for user in users]
            results = self._client.post("/v1/notifications/batch", {"notifications": bodies})["results"]
            for user, result in zip(users, results, strict=True):
                self._sent[user].append(result["id"])
        body = {"audience": {"all": True}, "template": people.TEMPLATE, "channels": ["inapp"], "data": people.data(1)}
        self._everyone.append(self._client.post("/v1/broadcasts", body)["id"])

    def _lacking(self, walker: Walker) -> int:
        return sum(id_ not in walker.got for id_ in (*self._sent[walker.user], *self._everyone))

    async def _until_whole(self, walkers: list[Walker]) -> None:
        loop = asyncio.get_running_loop()
        best, since_s = -1, loop.time()
        while lacking := sum(map(self._lacking, walkers)):
            if lacking != best:
                best, since_s = lacking, loop.time()
            elif loop.time() - since_s > _STALL_S:
                return
            await asyncio.sleep(0.5)
        await asyncio.sleep(1.0)  # what comes twice may come late

    def _verdict(self, walkers: list[Walker]) -> Verdict:
        back = sorted(self.back_s)
        return Verdict(
            clients=len(walkers),
            cuts=sum(walker.cuts for walker in walkers),
            kills=KILLS,
            recoveries=sum(walker.recoveries for walker in walkers),
            items=sum(walker.got.total() for walker in walkers),
            gaps=sum(map(self._lacking, walkers)),
            repeats=sum(walker.got.total() - len(walker.got) for walker in walkers),
            reloads=sum(walker.reloads for walker in walkers),
            p99_back_ms=round(back[int(len(back) * 0.99)] * 1000, 1) if back else 0.0,
        )


def _single(user: str) -> dict[str, object]:
    return {"to": user, "template": people.TEMPLATE, "channels": ["inapp"], "data": people.data(1)}


def cut(folder: Path, environment: dict[str, str], console: Console) -> Verdict:
    """Run the case on an installation in a folder and return the verdict. Raises `RunError`."""
    settings = {"CLARION_OPERATOR_KEY": seed_data.OPERATOR_KEY, "CLARION_LOG_LEVEL": "warning", **MANY, **environment}
    system = System(folder, settings, with_gateway=True)
    with running(system), one_more(system) as gateway:
        client = system.client(seed_data.tenant(system))
        seed_data.definitions(client, ["inapp"])
        seed_data.users(client, CLIENTS, profiles=False, progress=lambda _: None)
        if not answers(gateway.port):
            raise RunError("the gateway does not answer")
        return asyncio.run(Run(system, gateway, client, console).run())
