"""The whole path to a provider: vendor, egress and simulator over real HTTP/2 with TLS and real SMTP."""

import asyncio
import time
from types import SimpleNamespace

import msgspec
import pytest

from clarion.domain.errors import EgressError, OperatorError, Sent
from clarion.domain.message import HttpRequest
from clarion.domain.outcome import Accepted, InvalidRecipient, Misconfigured, Refused, Throttled, Transient
from clarion.outbound.net.http import GuardedHttp
from clarion.outbound.net.smtp import GuardedSmtp
from clarion.ports.vendor import Token
from clarion.providers.email import smtp as smtp_vendor
from clarion.providers.push import fcm
from clarion.providers.webhook import standard
from clarion_lab.simulate.config import Faults
from clarion_lab.simulate.faults import Answer, Chooser
from clarion_lab.simulate.hpack import Decoder, HpackError, encode
from tests.providers import battery
from tests.providers.conftest import push

LOOPBACK = ("127.0.0.0/8", "::1/128")


def now_ms():
    return time.time_ns() // 1_000_000


@pytest.fixture
async def clients(simulator):
    """Return a function that starts a simulator and returns clients that trust it."""
    closing = []

    async def start(**fields):
        context = simulator(**fields)
        sim = await context.__aenter__()
        http, smtp = GuardedHttp(LOOPBACK, sim.ca_file), GuardedSmtp(LOOPBACK, sim.ca_file)
        closing.append((context, http, smtp))
        token = fcm.read_token(await http.send(fcm.token_request(sim.fcm, now_ms=now_ms())))
        return SimpleNamespace(sim=sim, http=http, smtp=smtp, token=token)

    yield start
    for context, http, smtp in closing:
        await http.close()
        await smtp.close()
        await context.__aexit__(None, None, None)


async def send_push(at, message, **changes):
    account = msgspec.structs.replace(at.sim.fcm, **changes)
    request = fcm.build(message, account, now_ms=now_ms(), token=at.token.value)
    request = msgspec.structs.replace(request, timeout_ms=1_000)
    return fcm.read(await at.http.send(request), message, account, now_ms=now_ms())


async def send_mail(at, number):
    table = battery.tables()["email_smtp"]
    message = battery.message(table, delivery_id=f"dlv_{number:048x}")
    request = smtp_vendor.build(message, at.sim.mail, now_ms=now_ms(), token=None)
    request = msgspec.structs.replace(request, timeout_ms=1_000)
    return smtp_vendor.read(await at.smtp.send(request), message, at.sim.mail, now_ms=now_ms())


async def send_hook(at, number):
    table = battery.tables()["webhook_webhook"]
    message = battery.message(table, delivery_id=f"dlv_{number:048x}", address=at.sim.where.webhook_url + "/shop")
    request = standard.build(message, at.sim.hook, now_ms=now_ms(), token=None)
    return standard.read(await at.http.send(request), message, at.sim.hook, now_ms=now_ms())


async def test_all_three_are_accepted_and_written_down(clients):
    at = await clients(fsync=True)
    assert isinstance(at.token, Token)
    assert isinstance(await send_push(at, push(1)), Accepted)
    assert isinstance(await send_hook(at, 2), Accepted)
    assert isinstance(await send_mail(at, 3), Accepted)
    assert isinstance(await send_push(at, push(1, attempt=2)), Accepted)
    lines = [(r["key"], r["channel"], r["arrival"], r["answer"], r["taken"]) for r in at.sim.receipts()]
    key = "dlv_{:048x}".format
    assert lines == [
        (key(1), "push", 1, "accepted", True),
        (key(2), "webhook", 1, "accepted", True),
        (key(3), "email", 1, "accepted", True),
        (key(1), "push", 2, "accepted", True),
    ]
    assert {len(r["hash"]) for r in at.sim.receipts()} == {16}
    assert not any("body" in r for r in at.sim.receipts())


async def test_what_messages_hold_is_kept_when_asked(clients):
    at = await clients(bodies=True)
    message = push(1)
    await send_push(at, message)
    (receipt,) = at.sim.receipts()
    assert msgspec.json.decode(receipt["body"])["message"]["token"] == message.address


async def test_hundreds_at_once_over_one_connection(clients):
    at = await clients(latency_ms=5)
    outcomes = await asyncio.gather(*(send_push(at, push(n)) for n in range(500)))
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert len({r["key"] for r in at.sim.receipts()}) == 500


async def test_a_wrong_token_and_a_wrong_project(clients):
    at = await clients()
    at.token = Token("ya29.wrong", 1)
    assert isinstance(await send_push(at, push(1)), Misconfigured)
    settings = {**at.sim.fcm.settings, "project_id": "other-project"}
    assert isinstance(await send_push(at, push(1), settings=settings), Misconfigured)
    assert not any(r["taken"] for r in at.sim.receipts())


async def test_a_service_account_it_does_not_know_gets_no_token(clients):
    at = await clients()
    credentials = {**at.sim.fcm.credentials, "private_key": battery.rsa_pem()}
    account = msgspec.structs.replace(at.sim.fcm, credentials=credentials)
    answer = fcm.read_token(await at.http.send(fcm.token_request(account, now_ms=now_ms())))
    assert answer == Misconfigured("HTTP 400: invalid_grant Invalid JWT Signature.")


async def test_a_wrong_webhook_signature_is_noticed(clients):
    at = await clients()
    at.sim.hook = msgspec.structs.replace(at.sim.hook, credentials={"secret": "whsec_" + "QUFB" * 10})
    outcome = await send_hook(at, 1)
    assert (type(outcome), at.sim.receipts()[0]["answer"]) == (Transient, "unauthenticated")


async def test_data_that_is_not_strings_is_refused_as_fcm_does(clients):
    at = await clients()
    message = push(1)
    request = fcm.build(message, at.sim.fcm, now_ms=now_ms(), token=at.token.value)
    broken = msgspec.structs.replace(request, body=request.body.replace(b'"123"', b"123"))
    assert isinstance(fcm.read(await at.http.send(broken), message, at.sim.fcm, now_ms=now_ms()), Refused)


@pytest.mark.parametrize(
    ("fault", "push_outcome", "mail_outcome", "taken"),
    [
        ("throttle", Throttled, Throttled, False),
        ("error_500", Transient, Transient, False),
        ("invalid_token", InvalidRecipient, Refused, False),
        ("accept_then_drop", Sent.MAYBE, Sent.MAYBE, True),
        ("hang", Sent.MAYBE, Sent.MAYBE, False),
        ("reset", Sent.MAYBE, Sent.MAYBE, False),
    ],
)
async def test_each_fault_is_read_for_what_it_is(clients, fault, push_outcome, mail_outcome, taken):
    at = await clients(faults=Faults(**{fault: 1.0}), retry_after_s=7)
    for sending, expected in ((send_push(at, push(1)), push_outcome), (send_mail(at, 2), mail_outcome)):
        if isinstance(expected, Sent):
            with pytest.raises(EgressError) as caught:
                await sending
            assert caught.value.sent is expected
        else:
            outcome = await sending
            assert type(outcome) is expected
    assert [(r["answer"], r["taken"]) for r in at.sim.receipts()] == [(fault, taken)] * 2
    if fault == "throttle":
        assert (await send_push(at, push(3))).after_ms == 7_000


async def test_other_streams_continue_when_one_is_dropped(clients):
    at = await clients(faults=Faults(accept_then_drop=0.2), seed=4)
    results = await asyncio.gather(*(send_push(at, push(n)) for n in range(50)), return_exceptions=True)
    dropped = sum(r["answer"] == "accept_then_drop" for r in at.sim.receipts())
    assert 0 < dropped < 50
    assert sum(isinstance(result, EgressError) for result in results) == dropped
    assert sum(isinstance(result, Accepted) for result in results) == 50 - dropped


async def test_a_second_start_keeps_identity_and_receipts(simulator):
    async with simulator() as first:
        pass
    async with simulator() as second:
        assert second.where.ca_file.read_bytes() == first.where.ca_file.read_bytes()
        assert second.fcm.credentials == first.fcm.credentials
        assert second.where.service_account_file.stat().st_mode & 0o077 == 0
        with pytest.raises(OperatorError, match="cannot listen"):
            async with simulator(smtp_port=second.where.smtp_port):
                pass
    with pytest.raises(OperatorError, match="more than 1"):
        async with simulator(faults=Faults(throttle=0.6, hang=0.6)):
            pass


def test_faults_are_drawn_by_seed_key_and_arrival():
    faults = Faults(throttle=0.2, hang=0.1)
    draws = [Chooser(7, faults).choose(f"key-{n}", 1) for n in range(2_000)]
    assert draws == [Chooser(7, faults).choose(f"key-{n}", 1) for n in range(2_000)]
    assert draws != [Chooser(8, faults).choose(f"key-{n}", 1) for n in range(2_000)]
    assert draws != [Chooser(7, faults).choose(f"key-{n}", 2) for n in range(2_000)]
    assert 300 < draws.count(Answer.THROTTLE) < 500
    assert 130 < draws.count(Answer.HANG) < 270


# --- header compression, against the vectors of RFC 7541 appendix C ---


def test_requests_of_the_specification():
    decoder = Decoder()
    first = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "www.example.com"}
    assert decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == first
    assert decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf")) == {**first, "cache-control": "no-cache"}
    third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third == {":method": "GET", ":scheme": "https", ":path": "/index.html", ":authority": "www.example.com",
                     "custom-key": "custom-value"}  # fmt: skip


@pytest.mark.parametrize(
    "block", ["80", "ff", "ffffffffffff", "be", "40", "4005ab", "41ff", "3fe2ff01", "828684418cf1"]
)
def test_broken_blocks_are_errors(block):
    with pytest.raises(HpackError):
        Decoder().decode(bytes.fromhex(block))


@pytest.mark.parametrize(("status", "retry_after_s"), [(200, None), (429, 30), (404, None), (503, 1)])
def test_what_is_encoded_decodes(status, retry_after_s):
    headers = Decoder().decode(encode(status, "application/json", retry_after_s))
    assert headers[":status"] == str(status)
    assert headers.get("retry-after") == (str(retry_after_s) if retry_after_s else None)


@pytest.mark.slow
async def test_outages_reach_every_service_and_end_on_request(clients):
    at = await clients(outages=("fcm down", "smtp 503", "webhook 50% 401", "webhook 500"))
    assert isinstance(await send_push(at, push(1)), Transient)
    assert isinstance(await send_mail(at, 2), Transient)
    hooks = {type(await send_hook(at, number)) for number in range(3, 15)}
    assert hooks == {Transient}
    ended = HttpRequest("POST", at.sim.where.outages_url, {}, b'{"outages": ["fcm slow 1s", "smtp 401"]}')
    assert (await at.http.send(ended)).status == 200
    assert isinstance(await send_mail(at, 20), Misconfigured)
    assert isinstance(await send_hook(at, 21), Accepted)
    with pytest.raises(EgressError):  # it is given a second
        await send_push(at, push(22))
    taken = {receipt["key"] for receipt in at.sim.receipts() if receipt["taken"]}
    assert taken == {f"dlv_{21:048x}", f"dlv_{22:048x}"}


async def test_an_outage_that_is_none_keeps_the_simulator_from_starting(clients):
    with pytest.raises(OperatorError, match=r"--outage: there is no vendor 'fmc'"):
        await clients(outages=("fmc down",))
