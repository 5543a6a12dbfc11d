"""Runs a simulator until a stop is requested."""

import asyncio
import contextlib
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from weakref import WeakSet

import msgspec
import uvloop

from clarion.domain.errors import OperatorError
from clarion_lab.simulate.accounts import Others, accounts
from clarion_lab.simulate.callbacks import Callbacks
from clarion_lab.simulate.certificates import Identity, identity, write_secret
from clarion_lab.simulate.config import SimulatorConfig
from clarion_lab.simulate.faults import Chooser
from clarion_lab.simulate.http2 import Http2Protocol
from clarion_lab.simulate.mail import MailProtocol
from clarion_lab.simulate.outages import OutageError, Outages
from clarion_lab.simulate.receipts import Receipts
from clarion_lab.simulate.services import OUTAGES_PATH, TOKEN_PATH, WEBHOOK_PATH, Services
from clarion_lab.simulate.vendors.script import Secrets
from clarion_lab.simulate.vendors.stage import SCRIPTS, Message, Stage

RECEIPTS_FILE = "receipts.ndjson"
CALLBACKS_FILE = "callbacks.ndjson"
PROVIDERS_FILE = "providers.json"
VENDORS = frozenset({"fcm", "webhook", "smtp", *(played.vendor for played in SCRIPTS)})
"""Every vendor that can have an outage."""


class Started(msgspec.Struct, frozen=True):
    """The addresses and files of a running simulator; printed as one JSON line when it is ready."""

    base_url: str
    token_url: str
    webhook_url: str
    smtp_host: str
    smtp_port: int
    ca_file: Path
    service_account_file: Path
    webhook_secret_file: Path
    receipts_file: Path
    providers_file: Path
    outages_url: str


@contextlib.asynccontextmanager
async def started(config: SimulatorConfig) -> AsyncIterator[Started]:
    """Listen while the context is open. Raises `OperatorError` when a port is taken or faults add up to more than 1."""
    files = identity(config.folder, config.host)
    tls, http_tls = _tls(files), _tls(files)
    http_tls.set_alpn_protocols(["h2"])
    try:
        chooser = Chooser(config.seed, config.faults, by_address=config.by_address)
    except ValueError as error:
        raise OperatorError(str(error)) from error
    receipts = Receipts(config.folder / RECEIPTS_FILE, chooser, fsync=config.fsync, bodies=config.bodies)
    account = msgspec.json.decode(files.service_account_file.read_bytes(), type=dict[str, str])
    outages = _outages(config)
    secrets = Secrets(files.vendors_secret_file.read_bytes())
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(receipts.close)
        stage = Stage(receipts, secrets, config.retry_after_s, outages, _messages(stack, config, secrets))
        services = Services(
            receipts, account, files.webhook_secret_file.read_text(), stage, config.retry_after_s, outages
        )

        def http_peer() -> Http2Protocol:
            return Http2Protocol(services.handle, config.latency_ms)

        def mail_peer() -> MailProtocol:
            return MailProtocol(receipts, tls, config.latency_ms, outages=outages)

        http_port = await _listen(stack, http_peer, config.host, config.http_port, http_tls)
        smtp_port = await _listen(stack, mail_peer, config.host, config.smtp_port)
        host = f"[{config.host}]" if ":" in config.host else config.host
        base_url = f"https://{host}:{http_port}"
        providers_file = config.folder / PROVIDERS_FILE
        token_url, webhook_url = base_url + TOKEN_PATH, base_url + WEBHOOK_PATH
        others = Others(account, token_url, files.webhook_secret_file.read_text(), webhook_url, config.host, smtp_port)
        write_secret(providers_file, accounts(secrets, base_url, others))
        yield Started(
            base_url=base_url,
            token_url=token_url,
            webhook_url=webhook_url,
            smtp_host=config.host,
            smtp_port=smtp_port,
            ca_file=files.ca_file,
            service_account_file=files.service_account_file,
            webhook_secret_file=files.webhook_secret_file,
            receipts_file=config.folder / RECEIPTS_FILE,
            providers_file=providers_file,
            outages_url=base_url + OUTAGES_PATH,
        )


def _tls(files: Identity) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate_file, files.key_file)
    return tls


def _outages(config: SimulatorConfig) -> Outages:
    outages = Outages(VENDORS, time.monotonic, config.seed)
    try:
        outages.report(config.outages)
    except OutageError as error:
        raise OperatorError(f"--outage: {error}") from error
    return outages


def _messages(stack: contextlib.AsyncExitStack, config: SimulatorConfig, secrets: Secrets) -> Message | None:
    """Return the function to call for accepted messages, None when no receipts are configured."""
    if not config.receipts_url:
        return None
    path = config.folder / CALLBACKS_FILE
    callbacks = Callbacks(config.receipts_url, secrets, path, seed=config.seed, chaos=config.receipts_chaos)
    stack.push_async_callback(callbacks.close)
    return callbacks.taken


async def _listen(
    stack: contextlib.AsyncExitStack,
    make: Callable[[], Http2Protocol] | Callable[[], MailProtocol],
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Listen until the stack unwinds, which cuts open connections too: a hanging one would block it forever. Raises
    `OperatorError` when the port is taken."""
    peers: WeakSet[Http2Protocol | MailProtocol] = WeakSet()

    def connected() -> Http2Protocol | MailProtocol:
        peer = make()
        peers.add(peer)
        return peer

    def cut() -> None:
        server.close()
        for peer in list(peers):
            peer.abort()

    try:
        server = await asyncio.get_running_loop().create_server(connected, host, port, ssl=tls, backlog=1024)
    except OSError as error:
        raise OperatorError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    stack.callback(cut)
    return int(server.sockets[0].getsockname()[1])


def run_simulator(config: SimulatorConfig, ready: Callable[[Started], None]) -> None:
    """Run until SIGTERM or SIGINT, on uvloop. `ready` is called once it listens."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with started(config) as where:
            ready(where)
            await stop.wait()

    uvloop.run(main())
