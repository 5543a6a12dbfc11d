"""Exceptions of every layer, with keys, tokens, addresses and bodies in scope and in their texts: none of these is in any
output, in either format of the log."""

import asyncio
import contextlib
import gc
import io
import logging as standard
import os
import socket
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
import structlog
import uvicorn

from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel, Lane
from clarion.domain.fetch_headers import record_of
from clarion.domain.message import HttpRequest
from clarion.domain.planned import PlannedDelivery
from clarion.edge.connections import Connections
from clarion.edge.protocol import BoundedHttp
from clarion.journal import topics
from clarion.ops import logging
from clarion.ops.crashes import write_crash
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.outbound.net.http import GuardedHttp
from clarion.outbound.secrets.master_key import FileVault
from clarion.plan.workflow.fetch_calls import FetchJob
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.control_accounts import ProviderWrite
from clarion.ports.sealed_headers import seal_header
from clarion.providers.email import postmark
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.sql.providers import SqlProviders
from clarion.testing import Clarion
from tests.contract.journals import START_MS, VirtualClock
from tests.look import Glance
from tests.providers import battery

KEY = "clk_0190c_canarykey" + "x" * 24
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.canarytoken"
ADDRESS = "canary.person@example.com"
PHONE = "+4915112345678"
PASSWORD = "canary-password-9"
BODY = "canary-body-text"
CANARIES = ("canary", "eyJjYW5hcnki", PHONE, "eyJhbGciOi")

pytestmark = pytest.mark.usefixtures("restored_logging")


def crash(*_scope, **_more):
    """Raise an error whose text quotes what it must not, with a body in scope."""
    body, headers = {"text": BODY, "to": [ADDRESS]}, {"authorization": f"Bearer {KEY}"}  # noqa: F841 - in scope
    raise RuntimeError(f"{KEY}, Bearer {TOKEN} of {ADDRESS} or {PHONE}\n{KEY} {{'password': '{PASSWORD}'}}")


def leaks(text):
    """Return the lines of an output that hold a canary; this file's own name is none."""
    lines = text.replace("test_log_canaries", "").splitlines()
    return [line for line in lines if any(canary in line for canary in CANARIES)]


async def acrash(*scope, **more):
    crash(*scope, **more)


def stage(function):
    """Return a call of a whole installation in which this function of a stage crashes."""

    def run(monkeypatch):
        with Clarion() as clarion:
            clarion.put_template("hello", {"channels": {"sms": {"body": "Hi {{ text }}"}}})
            monkeypatch.setattr(function, crash)
            try:
                clarion.notify(to={"phone": PHONE}, template="hello", data={"text": BODY})
            finally:
                monkeypatch.undo()

    return run


def egress(_monkeypatch):
    http = GuardedHttp(resolver=SimpleNamespace(addresses=acrash))
    request = HttpRequest("POST", "https://example.com/a", {"authorization": f"Bearer {KEY}"}, BODY.encode())
    asyncio.run(http.send(request))


def stores(_monkeypatch):
    providers = SqlProviders(SimpleNamespace(), SimpleNamespace(now_ms=lambda: 0), SimpleNamespace(seal=crash))
    write = ProviderWrite("mail", Channel.EMAIL, "smtp", 1, True, {"to": ADDRESS}, {"password": PASSWORD})
    asyncio.run(providers.put("acme", write))


LAYERS = {
    "accept": stage("clarion.accept.intake.parse_body"),
    "plan": stage("clarion.plan.worker.decide"),
    "record": stage("clarion.record.worker.decide"),
    "stores": stores,
    "egress": egress,
}


def raised(layer, monkeypatch):
    with pytest.raises(Exception) as found:
        LAYERS[layer](monkeypatch)
    return found.value


def never_awaited(error):
    """Let a task end with an error that nobody asks for: the event loop logs it."""

    async def fail():
        raise error

    async def run():
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task
        gc.collect()

    asyncio.run(run())


@pytest.fixture(params=["json", "console"])
def output(request):
    return request.param


@pytest.fixture
def stream(output):
    stream = io.StringIO()
    logging.configure("debug", output, stream=stream)
    return stream


@pytest.mark.parametrize("layer", LAYERS)
def test_an_error_of_a_layer_is_written_without_what_it_touched(layer, output, monkeypatch, capfd):
    error, stream = raised(layer, monkeypatch), io.StringIO()
    logging.configure("debug", output, stream=stream)
    try:
        raise RuntimeError(f"around {KEY}") from error
    except RuntimeError as outer:
        structlog.get_logger().error("crashed", error=f"{type(error).__name__}: {error}", exc_info=True)
        structlog.get_logger().error("crashed", exc_info=outer, detail={"text": f"of {ADDRESS}", "headers": [KEY]})
        standard.getLogger("some.library").exception("failed for %s", ADDRESS)
        write_crash(outer)
    never_awaited(error)
    printed = capfd.readouterr()
    assert leaks(stream.getvalue() + printed.out + printed.err) == []
    assert stream.getvalue().count("RuntimeError") >= 4, "the type is shown"
    assert "Task exception was never retrieved" in stream.getvalue()
    assert "RuntimeError" in printed.err


@pytest.mark.parametrize("layer", ["deliver", "providers"])
async def test_an_attempt_that_crashes_is_written_without_what_it_touched(layer, stream, capfd):
    parts = {"subject": BODY, "text": BODY}
    render = crash if layer == "deliver" else lambda *args, **more: parts
    vendor = SimpleNamespace(build=crash, read=crash, TRAITS=postmark.TRAITS)
    sender = Sender(
        SimpleNamespace(),
        {(Channel.SMS, "postmark"): vendor},
        SimpleNamespace(holds=lambda *args: True, render=render),
        None,
        None,
        SimpleNamespace(now_ms=lambda: battery.NOW_MS),
        ProcessTelemetry(Metrics()),
    )  # fmt: skip
    account = battery.account(battery.tables()["email_postmark"])
    account = msgspec.structs.replace(account, credentials={"server_token": PASSWORD})
    row = PlannedDelivery(b"x" * 24, "acme", "ada", PHONE, "en", "hi", "", {}, None, 1, None, None, None, None)
    await sender.attempt(Channel.SMS, row, account)
    assert "attempt_crashed" in stream.getvalue()
    assert leaks(stream.getvalue() + "".join(capfd.readouterr())) == []


async def test_a_call_of_a_fetch_step_that_crashes_is_written_without_its_secret(stream, capfd):
    vault, url, seen = FileVault(bytes(32)), "https://x.test/", []

    async def send(request):
        seen.append(request.headers)
        crash(request)

    header = seal_header(vault, "acme", record_of("w", "ask", "X-Key", url), PASSWORD)
    request = HttpRequest("GET", url, {}, b"")
    job = FetchJob(bytes(24), "acme", Lane.HIGH, 0, 1, START_MS + 1, request, "w", "ask", {"X-Key": header})
    journal = MemoryJournal(VirtualClock(), 1)
    pool = FetchPool(journal, SimpleNamespace(send=send), VirtualClock(), ProcessTelemetry(Metrics()), vault=vault)
    pool.begin([job])
    await pool.idle()
    assert seen == [{"x-key": PASSWORD}]
    frames = Glance(journal).read(topics.accepted(Lane.HIGH), 0, 0, 10)
    assert len(frames) == 1 and b"canary" not in frames[0].payload
    assert "fetch_crashed" in stream.getvalue()
    assert leaks(stream.getvalue() + "".join(capfd.readouterr()) + repr(job)) == []


@pytest.mark.allow_hosts(["127.0.0.1"])
async def test_a_crash_below_a_request_is_written_without_the_request(stream, capfd):
    """uvicorn logs what its application raises, whose frames hold the headers."""

    async def app(scope, receive, send):
        headers = dict(scope["headers"])
        await acrash(headers)

    listening = socket.create_server(("127.0.0.1", 0))
    settings = {"log_config": None, "lifespan": "off", "access_log": False, "loop": "none"}
    server = uvicorn.Server(uvicorn.Config(app, http=partial(BoundedHttp, Connections()), ws="none", **settings))
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve([listening]))
    port = listening.getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /?to={ADDRESS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n\r\n".encode())
    assert b"500" in await reader.readline()
    writer.close()
    server.should_exit = True
    await task
    assert "Exception in ASGI application" in stream.getvalue()
    assert leaks(stream.getvalue() + "".join(capfd.readouterr())) == []


PROCESSES = {
    "command": "from clarion.app.cli import main as cli; cli.app = crash; cli.main()",
    "confined child": "from clarion.app.processes import confined; confined.attend = crash; confined.main()",
    "thread": "import threading; from clarion.app.cli import main as cli;"
    "cli.app = lambda: (threading.Thread(target=crash).start(), threading.enumerate()); cli.main()",
    "destructor": "from clarion.app.cli import main as cli; Bad = type('Bad', (), {'__del__': crash}); cli.app = Bad; cli.main()",
}


@pytest.mark.parametrize("code", PROCESSES.values(), ids=PROCESSES)
def test_a_process_that_ends_by_an_error_writes_none_of_it(code):
    define = f"def crash(*scope):\n    body = {BODY!r}\n    raise RuntimeError('{KEY} of {ADDRESS} and {PHONE}')\n"
    found = subprocess.run(
        [sys.executable, "-c", define + code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert "RuntimeError: ***" in found.stderr, found.stderr
    assert leaks(found.stdout + found.stderr) == []
