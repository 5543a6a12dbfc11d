"""Who is let in, for how long, and how many."""

import asyncio
import base64

import pytest

from clarion.domain import limits_gateway
from clarion.domain.limits_gateway import SOCKETS_PER_USER_MAX, TICKET_TTL_S
from clarion.domain.limits_processes import TOKENS_REFUSED_AT_ONCE, TOKENS_REFUSED_PER_S
from clarion.domain.token_key import TokenKey
from clarion.gateway import hub
from clarion.gateway.codes import REASONS, Closing
from clarion.identity.tickets import Tickets
from clarion.outbound.secrets.master_key import FileVault
from clarion.stores.memory.quotas import MemoryQuotas
from tests.live.gateways import HEAD, PAGE, frame
from tests.security.served import until

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


async def code_of(live, head=HEAD, **hello):
    """Return the code with which a hello is closed."""
    client = await live.client(head)
    client.say(type="hello", **hello)
    return await client.closed()


async def test_a_token_or_a_ticket_lets_in_and_vouches(live):
    await live.greeted()
    client = await live.client()
    client.say(type="hello", ticket=live.ticket())
    welcome = await client.message()
    assert welcome["type"] == "welcome" and welcome["recovered"] is False and welcome["position"]
    assert live.vouched == ["127.0.0.1"] * 2


async def test_a_ticket_is_used_once_by_whoever_comes_first(live):
    ticket = live.ticket()
    clients = [await live.client() for _ in range(5)]
    for client in clients:
        client.say(type="hello", ticket=ticket)
    await until(lambda: len(live.hub) == 1 and len(live.events) == 4)
    assert {event for event, _ in live.events} == {"token_refused"}
    assert all(fields["reason"] == "ticket_not_valid" and fields["peer"] == "127.0.0.1" for _, fields in live.events)
    assert await code_of(live, ticket=ticket) == Closing.UNAUTHORIZED


async def test_a_ticket_of_a_token_that_was_revoked_since_lets_nobody_in(live):
    ticket = live.ticket()
    live.key = TokenKey(1)
    assert await code_of(live, ticket=ticket) == Closing.UNAUTHORIZED
    assert live.events[-1][1]["reason"] == "token_revoked"
    assert len(live.hub) == 0
    client = await live.client()
    client.say(type="hello", ticket=live.ticket())
    assert await client.kind() == "welcome"


def altered(ticket):
    """Return a ticket changed in each of its characters, and others that are none."""
    for at in range(0, len(ticket), 7):
        yield ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :]
    raw = base64.urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4))
    yield base64.urlsafe_b64encode(b"\x02" + raw[1:]).rstrip(b"=").decode()
    yield from (ticket[:-1], ticket + "A", ticket + "=", "", "A", "ü" * 20, "A" * 1_000)


async def test_altered_late_and_foreign_tickets_are_refused(live):
    other = Tickets(FileVault(bytes(31) + b"\x01"), MemoryQuotas(), live.clock)
    grant = live.tokens.grant(live.token(), live.clock.now_ms() // 1000)
    late = live.ticket()
    for ticket in [*altered(live.ticket()), other.issue(grant)[0]]:
        assert await code_of(live, ticket=ticket) == Closing.UNAUTHORIZED, ticket
    live.clock.moved_ms = TICKET_TTL_S * 1000
    assert await code_of(live, ticket=late) == Closing.UNAUTHORIZED
    assert len(live.hub) == 0


async def test_a_ticket_of_a_token_that_was_revoked_since_is_closed(live):
    ticket = live.ticket()
    live.key = TokenKey(1)
    client = await live.client()
    client.say(type="hello", ticket=ticket)
    assert await client.closed() == Closing.UNAUTHORIZED


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_a_connection_ends_with_its_token(live, end, monkeypatch):
    monkeypatch.setattr("clarion.gateway.door.REVOKED_CHECK_MS", 0)
    monkeypatch.setattr("clarion.gateway.door._TICK_S", 0.01)
    client, stays = await live.greeted(), await live.client()
    if end == "revoked":
        live.key = TokenKey(1)
    else:
        live.clock.moved_ms = 601_000
    assert await client.closed() == Closing.UNAUTHORIZED
    assert len(live.hub) == 0
    stays.say(type="hello", token=live.token())
    assert await stays.kind() == "welcome"


async def test_credentials_are_checked_again_within_five_seconds():
    assert limits_gateway.REVOKED_CHECK_MS <= 3_000


async def test_bad_tokens_are_refused_and_reported(live):
    tokens = [live.token()[:-2], "a.b.c", "", live.tokens.issue("acme", "ada", 1, 60)]
    for token in tokens:
        assert await code_of(live, token=token) == Closing.UNAUTHORIZED
    assert [event for event, _ in live.events] == ["token_refused"] * len(tokens)
    assert all(token not in str(live.events) for token in tokens if token)
    assert not live.vouched


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://shop.example", "https://shop.example:444"])
async def test_pages_of_foreign_origins_are_refused(live, origin):
    head = HEAD + b"origin: " + origin.encode() + b"\r\n"
    assert await code_of(live, head, token=live.token()) == Closing.ORIGIN
    event, fields = live.events[-1]
    assert event == "origin_refused" and fields["tenant"] == "acme" and fields["subject"] == origin


@pytest.mark.parametrize("origin", [PAGE, "http://a"])
async def test_pages_of_the_tenant_and_of_the_gateway_are_let_in(live, origin):
    client = await live.client(HEAD + b"origin: " + origin.encode() + b"\r\n")
    client.say(type="hello", token=live.token())
    assert await client.kind() == "welcome"


async def test_a_user_has_so_many_connections_and_others_have_theirs(live):
    clients = [await live.greeted() for _ in range(SOCKETS_PER_USER_MAX)]
    assert await code_of(live, token=live.token()) == Closing.TOO_MANY
    await live.greeted("ben")
    clients[0].leave()
    await until(lambda: len(live.hub) == SOCKETS_PER_USER_MAX)
    await live.greeted()


async def test_a_tenant_has_so_many_connections(live, monkeypatch):
    monkeypatch.setattr(hub, "SOCKETS_PER_TENANT_MAX", 1)
    await live.greeted()
    assert await code_of(live, token=live.token("ben")) == Closing.TOO_MANY


async def test_so_many_join_at_once(live, monkeypatch):
    monkeypatch.setattr(hub, "JOINS_MAX", 0)
    assert await code_of(live, token=live.token()) == Closing.TOO_MANY


async def test_the_client_is_told_when_the_store_is_away_or_the_gateway_fails(live):
    async def away(_tenant):
        raise RuntimeError("unexpected")

    live._token_key = live.door._checks.token_key
    live.door._checks = live.door._checks._replace(identify=away)
    assert await code_of(live, token=live.token()) == Closing.UNAVAILABLE
    assert "gateway_hello_failed" in live.notes.lines
    await until(lambda: not live.state.connections)


async def test_a_stop_says_when_to_come_back(live):
    client, silent = await live.greeted(), await live.client()
    assert live.hub.drain() == 1
    for connection in list(live.state.connections):
        connection.shutdown()
    goodbye = await client.message()
    assert goodbye["type"] == "goodbye" and 0 <= goodbye["retry_after_ms"] < limits_gateway.DRAIN_RETRY_MS_MAX
    assert await client.closed() == await silent.closed() == Closing.GOING_AWAY
    await until(lambda: not live.state.connections)


async def test_what_was_missed_follows_the_welcome(live):
    client = await live.greeted()
    live.add("a")
    item = await client.message()
    client.leave()
    await until(lambda: not len(live.hub))
    for name in "bc":
        live.add(name)
    client = await live.client()
    client.say(type="hello", token=live.token(), position=item["position"])
    frames = [await client.message() for _ in range(4)]
    assert [one["type"] for one in frames] == ["welcome", "item", "item", "counts"]
    assert frames[0]["recovered"] is True
    assert [one["id"] for one in frames[1:3]] == ["b", "c"]
    live.hub.count()
    assert live.notes.counts["gateway_joins", "yes"] == 1
    assert live.notes.counts["gateway_joins", "new"] == 1


async def test_a_hello_of_a_client_that_has_gone_changes_nothing(live):
    gate = asyncio.Event()
    identify = live.door._checks.identify

    async def late(token):
        await gate.wait()
        return await identify(token)

    live.door._checks = live.door._checks._replace(identify=late)
    client = await live.client()
    client.say(type="hello", token=live.token())
    await until(lambda: any(session.task for session in live.door._sessions))
    client.leave()
    await until(lambda: not live.state.connections)
    gate.set()
    await asyncio.sleep(0.01)
    assert len(live.hub) == 0


def test_each_code_has_a_reason_that_fits_into_a_close_frame():
    assert set(REASONS) == set(Closing)
    assert all(len(reason.encode()) <= 123 for reason in REASONS.values())


async def test_refused_first_frames_count_for_their_peer_and_known_tokens_go_on(live):
    known = live.token()
    assert (await greeting(live, known)) == "welcome"
    for bad in (b"{", b"[]"):
        client = await live.client()
        client.writer.write(frame(bad))
        assert await client.closed() == Closing.MALFORMED
    left = TOKENS_REFUSED_AT_ONCE
    while await code_of(live, token="a.b.c") == Closing.UNAUTHORIZED:
        left -= 1
        assert left > -TOKENS_REFUSED_PER_S * 30
    assert live.events[-1][0] == "credential_delayed"
    assert await code_of(live, token=live.token("ben")) == Closing.TOO_MANY
    assert (await greeting(live, known)) == "welcome"
    proxied = HEAD + b"x-forwarded-for: 192.0.2.7\r\n"
    assert await code_of(live, proxied, token="a.b.c") == Closing.UNAUTHORIZED  # of another client


async def greeting(live, token):
    client = await live.client()
    client.say(type="hello", token=token)
    return await client.kind()


@pytest.mark.parametrize("headers", [b"x-forwarded-for: 192.0.2.7\r\n", b"x-forwarded-for: 1.2.3.4, 192.0.2.7\r\n"])
async def test_the_security_log_names_the_client_of_a_trusted_proxy(live, headers):
    assert await code_of(live, HEAD + headers, token="a.b.c") == Closing.UNAUTHORIZED
    assert live.events[-1][1]["peer"] == "192.0.2.7"
