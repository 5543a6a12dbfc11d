"""Real peers: a simulator on its own loop, and servers that misbehave on purpose."""

import asyncio
import contextlib
import socket
import struct
from types import SimpleNamespace

import msgspec
import pytest
import uvloop

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion_lab.simulate.config import SimulatorConfig
from clarion_lab.simulate.run import started
from tests.made_once import identity_in
from tests.providers import battery


def pytest_asyncio_loop_factories(config, item):
    """Run tests on the event loop of the product."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def trusted(tmp_path_factory):
    """Replace the machine's list of CAs by a short one: reading the real one takes longer than most of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(identity_in(tmp_path_factory.mktemp("trusted"), "trusted.invalid").ca_file))
        yield


@pytest.fixture
def simulator(tmp_path):
    """Return a context manager that runs a simulator with the given configuration fields."""

    @contextlib.asynccontextmanager
    async def running(**fields):
        config = SimulatorConfig(folder=tmp_path, **fields)
        if not list(tmp_path.glob("*.pem")):
            identity_in(tmp_path, config.host)
        async with started(config) as where:
            account = msgspec.json.decode(where.service_account_file.read_bytes())
            names = ("client_email", "private_key", "private_key_id")
            settings = {"project_id": "simulator", "base_url": where.base_url, "token_url": where.token_url}
            mail = {"host": "localhost", "port": where.smtp_port, "from_email": "a@shop.example"}
            yield SimpleNamespace(
                where=where,
                ca_file=str(where.ca_file),
                fcm=Account("acme", "fcm", Channel.PUSH, "fcm", 0, settings, {name: account[name] for name in names}),
                mail=Account("acme", "smtp", Channel.EMAIL, "smtp", 0, mail, {}),
                hook=Account(
                    "acme", "hook", Channel.WEBHOOK, "webhook", 0, {}, {"secret": where.webhook_secret_file.read_text()}
                ),
                receipts=lambda: [msgspec.json.decode(line) for line in where.receipts_file.read_bytes().splitlines()],
            )

    return running


@contextlib.asynccontextmanager
async def serving(handler, **options):
    """Run `handler(reader, writer)` for each connection to a loopback port; yield the port."""
    tasks = set()

    async def guarded(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        if not stopping.is_set():
            writer.close()
        else:
            writer.transport.abort()

    stopping = asyncio.Event()
    server = await asyncio.start_server(guarded, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        stopping.set()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)


def cut(writer):
    """Reset a connection."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def push(number=1, **changes):
    """Return a push message with a delivery id of its own."""
    table = battery.tables()["push_fcm"]
    return battery.message(table, delivery_id=f"dlv_{number:048x}", expires_ms=None, **changes)
