"""The guarded client over HTTP/2 with TLS: Hypercorn as APNs, and a server that breaks streams and connections."""

import asyncio

import msgspec
import pytest

from clarion.domain.errors import EgressError, Sent
from clarion.domain.message import HttpRequest
from clarion.domain.outcome import Accepted, InvalidRecipient
from clarion.outbound.net.http import GuardedHttp
from clarion.providers.push import apns
from clarion_lab.simulate.certificates import identity
from tests.peers import processes
from tests.providers import battery

TABLE = battery.tables()["push_apns"]
CALLS_MAX = 120
"""Calls after which Hypercorn says goodbye to a connection."""


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return identity(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def apple(files):
    command = [processes.program("hypercorn"), "--bind", "127.0.0.1:0", "--certfile", str(files.certificate_file),
               "--keyfile", str(files.key_file), "--config", "file:apns_settings.py", "apns_app:app"]  # fmt: skip
    with processes.serving(*command) as port:
        yield f"https://localhost:{port}"


@pytest.fixture(scope="session")
def breaker(files):
    command = [processes.program("python"), "h2_breaker.py", str(files.certificate_file), str(files.key_file)]
    with processes.serving(*command) as port:
        yield f"https://localhost:{port}"


@pytest.fixture
async def http(files):
    http = GuardedHttp(("127.0.0.0/8", "::1/128"), str(files.ca_file))
    yield http
    await http.close()


async def counts(http, origin):
    return msgspec.json.decode((await http.send(HttpRequest("GET", f"{origin}/counts", {}, b""))).body)


async def push(http, origin, number=1, together=1, address="ab" * 32, timeout_ms=10_000):
    message = battery.message(TABLE, delivery_id=f"dlv_{number:048x}", address=address)
    account = battery.account(TABLE)
    account = msgspec.structs.replace(account, settings={**account.settings, "base_url": origin})
    request = apns.build(message, account, now_ms=battery.NOW_MS, token=None)
    headers = request.headers | {"x-together": str(together)}
    request = msgspec.structs.replace(request, headers=headers, timeout_ms=timeout_ms)
    response = await http.send(request)
    return apns.read(response, message, account, now_ms=battery.NOW_MS), request.headers["apns-id"]


# --- as APNs ---


async def test_a_hundred_pushes_share_a_connection_and_each_gets_its_own_answer(http, apple):
    assert isinstance((await push(http, apple))[0], Accepted)
    done = await asyncio.gather(*(push(http, apple, number, together=100) for number in range(100)))
    assert all(outcome == Accepted(id_) for outcome, id_ in done)
    assert len({id_ for _, id_ in done}) == 100
    seen = await counts(http, apple)
    assert seen["version"] == "2"
    assert (seen["calls"], seen["open_most"]) == (101, 100)
    assert len(seen["ports"]) == 1


async def test_a_dead_token_among_others_is_one_answer(http, apple):
    tokens = ["ab" * 32, "00" * 30 + "dead", "cd" * 32]
    done = await asyncio.gather(*(push(http, apple, n, address=token) for n, token in enumerate(tokens)))
    assert [type(outcome) for outcome, _ in done] == [Accepted, InvalidRecipient, Accepted]


async def test_when_a_server_drops_connections_pushes_are_made_at_most_once_and_none_is_lost_silently(http, apple):
    """Hypercorn ends a connection after a number of calls, while other calls are open; some of these never get a response."""
    wanted = CALLS_MAX * 3
    slots, failed = asyncio.Semaphore(50), []

    async def one(number):
        async with slots:
            try:
                outcome, id_ = await push(http, apple, number, timeout_ms=2_000)
            except EgressError as error:
                failed.append(error)
            else:
                assert outcome == Accepted(id_)

    await asyncio.gather(*(one(number) for number in range(wanted)))
    seen = await counts(http, apple)
    assert len(seen["ports"]) > 1
    # Hypercorn drops open calls, which may have arrived. Calls with a response arrived exactly once.
    assert wanted - len(failed) <= seen["calls"] <= wanted
    assert {error.sent for error in failed} <= {Sent.MAYBE}
    assert len(failed) < wanted // 2


# --- broken on purpose ---


async def called(http, breaker, path):
    """Return the result of a call to a path, and how often the server handled it."""
    try:
        result = (await http.send(HttpRequest("POST", breaker + path, {}, b"x" * 1_000, 3_000))).status
    except EgressError as error:
        result = error.sent
    return result, (await counts(http, breaker))[path]


@pytest.mark.parametrize("code", ["INTERNAL_ERROR", "CANCEL", "ENHANCE_YOUR_CALM"])
async def test_a_stream_that_is_reset_may_have_been_handled_and_is_not_repeated(http, breaker, code):
    assert await called(http, breaker, f"/rst/{code}/1") == (Sent.MAYBE, 1)


async def test_a_stream_that_was_surely_not_handled_is_sent_again(http, breaker):
    """RFC 9113 8.7: REFUSED_STREAM guarantees that the request was not processed."""
    assert await called(http, breaker, "/rst/REFUSED_STREAM/1") == (200, 2)


async def test_a_connection_that_ends_after_an_answer_loses_nothing(http, breaker):
    assert await called(http, breaker, "/goaway/after/1") == (200, 1)
    assert await called(http, breaker, "/goaway/after/1") == (200, 2)


async def test_a_connection_that_ends_without_handling_a_call_has_it_sent_again(http, breaker):
    """RFC 9113 6.8: streams beyond the last one that GOAWAY names were not handled."""
    assert await called(http, breaker, "/goaway/unseen/1") == (200, 2)


async def test_calls_under_way_when_a_connection_ends_politely_are_each_handled_once(http, breaker):
    done = await asyncio.gather(*(called(http, breaker, "/goaway/amid/1") for _ in range(60)))
    assert {result for result, _ in done} == {200}
    assert (await counts(http, breaker))["/goaway/amid/1"] == 60
