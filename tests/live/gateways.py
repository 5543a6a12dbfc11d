"""A gateway under test over loopback, with a feed in memory, and clients that send what they like."""

import asyncio
import base64
import contextlib
import json
import secrets
import struct
from functools import partial

import uvicorn

from clarion.domain.errors import InvalidField
from clarion.domain.token_key import TokenKey
from clarion.edge.connections import Connections
from clarion.edge.forwarded import Forwarded, trusted_networks
from clarion.edge.upgrades import UpgradableHttp
from clarion.gateway.door import Checks, Door
from clarion.gateway.hub import Hub
from clarion.gateway.streams import EventStreams
from clarion.identity.tickets import Tickets
from clarion.identity.user_tokens import UserTokens, check_generation
from clarion.outbound.secrets.master_key import FileVault
from clarion.runtime.clock import SystemClock
from clarion.stores.memory.quotas import MemoryQuotas
from clarion.ways_in.http.peer_waits import RateWaits
from clarion.ways_in.http.problems import problem
from tests.security.served import until
from tests.stages.world import Notes
from tests.unit.gateway.log import Log, read

KEY = base64.b64encode(bytes(16))
HEAD = b"GET /v1/live HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: %b\r\n" % KEY  # fmt: skip
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
WAIT_S = 5
PAGE = "https://shop.example"


class Later(SystemClock):
    """The clock of the system, moved."""

    moved_ms = 0

    def now_ms(self):
        return super().now_ms() + self.moved_ms


class Gateway:
    """A gateway of its own: `log` is the feed, `keys` the generation of each tenant's tokens."""

    def __init__(self):
        self.log, self.notes, self.clock = Log(), Notes(), Later()
        self.events = []
        self.notes.security = lambda event, **fields: self.events.append((event.value, fields))
        self.key, self.vouched = TokenKey(), []
        self.waits = RateWaits()
        vault = FileVault(bytes(32))
        self.tokens, self.tickets = UserTokens(vault), Tickets(vault, MemoryQuotas(), self.clock)
        self.hub = Hub(self.log, self.notes)
        checks = Checks(self._identify, self._allows, _seen, self._token_key, self.vouched.append)
        checks = checks._replace(client=Forwarded(trusted_networks(["127.0.0.1"])).client, waits=self.waits)
        self.door = Door(self.hub, self.tickets, checks, self.clock, self.notes)
        self.connections = Connections()
        self.streams = EventStreams(self.hub, self.door, problem)
        self.state = uvicorn.server.ServerState()
        self.port = 0
        self.clients = []

    async def _identify(self, token):
        now_ms = self.clock.now_ms()
        grant = self.tokens.grant(token, now_ms // 1000)
        check_generation(token, self.key, now_ms)
        return grant

    async def _allows(self, _tenant, origin):
        return origin == PAGE

    async def _token_key(self, _tenant):
        return self.key

    def token(self, user="ada", ttl_s=600, tenant="acme"):
        return self.tokens.issue(tenant, user, self.clock.now_ms() // 1000, ttl_s, self.key.generation)

    def ticket(self, user="ada", ttl_s=600):
        return self.tickets.issue(self.tokens.grant(self.token(user, ttl_s), self.clock.now_ms() // 1000))[0]

    def make(self, app=None):
        """Return what makes the protocol of a connection."""
        config = uvicorn.Config(
            app or self.streams, http=lambda: None, ws="none", lifespan="off", log_config=None, proxy_headers=False
        )
        config.load()
        return partial(
            UpgradableHttp, self.door, self.connections, config=config, server_state=self.state, app_state={}
        )

    def add(self, item, user=("acme", "ada")):
        """Let an item arrive."""
        self.log.own[user].append(item)
        self.hub.changed([user])

    async def client(self, head=HEAD, ssl=None):
        """Return a client whose handshake was accepted."""
        client = await self.connect(ssl)
        client.writer.write(head + b"\r\n")
        await client.switched()
        return client

    async def connect(self, ssl=None):
        name = "localhost" if ssl else None
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, ssl=ssl, server_hostname=name))
        self.clients.append(client)
        return client

    async def greeted(self, user="ada", **options):
        """Return a client that was welcomed and has its counts."""
        client = await self.client(**options)
        client.say(type="hello", token=self.token(user))
        assert [await client.kind(), await client.kind()] == ["welcome", "counts"]
        return client


def _seen(_grant, text):
    try:
        return read(text)
    except ValueError:
        raise InvalidField("is no position of this inbox", field="position") from None


class Client:
    """A client of a socket that can break every rule."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def switched(self):
        """Read the head of the answer. Raises `AssertionError` unless it switches."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_S)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return head

    def say(self, **message):
        self.writer.write(frame(json.dumps(message).encode()))

    async def frame(self):
        """Return operation and payload of the next frame."""
        async with asyncio.timeout(WAIT_S):
            first, second = await self.reader.readexactly(2)
            size = second & 127
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
            return first & 15, await self.reader.readexactly(size)

    async def message(self):
        operation, payload = await self.frame()
        assert operation == TEXT, (operation, payload)
        return json.loads(payload)

    async def kind(self):
        return (await self.message())["type"]

    async def closed(self):
        """Return the code with which the gateway closes, after whatever comes before."""
        while True:
            operation, payload = await self.frame()
            if operation == CLOSE:
                return struct.unpack(">H", payload[:2])[0]

    async def ended(self):
        """Wait until the connection has ended."""
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self.reader.read(), WAIT_S)

    def leave(self):
        self.writer.transport.abort()


def frame(payload=b"", operation=TEXT, *, fin=True, masked=True, reserved=0, size=None):
    """Return a frame of a client; `size` is what it says of its length."""
    size = len(payload) if size is None else size
    if size < 126:
        length = bytes([size | masked << 7])
    elif size < 65_536:
        length = bytes([126 | masked << 7]) + size.to_bytes(2)
    else:
        length = bytes([127 | masked << 7]) + size.to_bytes(8)
    head = bytes([fin << 7 | reserved << 4 | operation]) + length
    if not masked:
        return head + payload
    mask = secrets.token_bytes(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@contextlib.asynccontextmanager
async def gateway(app=None):
    """Run a gateway."""
    one = Gateway()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(one.make(app), "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    tasks = [loop.create_task(job) for job in (one.hub.run(), one.door.watch())]
    try:
        yield one
    finally:
        server.close()
        for client in one.clients:
            client.leave()
        for connection in list(one.state.connections):
            connection.abort()
        await until(lambda: not one.state.connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
