"""The SMTP egress against aiosmtpd with STARTTLS and AUTH, and against servers that disconnect at each step."""

import asyncio
import re
import ssl

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import SMTP_SESSIONS_MAX
from clarion.domain.message import SmtpReply, SmtpRequest
from clarion.outbound.net import smtp as egress
from clarion.outbound.net.smtp import GuardedSmtp
from tests.made_once import identity_in
from tests.providers.conftest import cut, serving

LOOPBACK = ("127.0.0.0/8", "::1/128")
PAYLOAD = b"Subject: hi\r\n\r\n.leading dot\r\n..\r\nbody\r\n"


class Mailbox:
    """An aiosmtpd handler that records messages and refuses the configured ones."""

    def __init__(self):
        self.messages = []
        self.sessions = set()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address.startswith("dead"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.messages.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        self.sessions.add(session)
        return "250 2.0.0 queued"


def check(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"mailer", b"correct horse")
    return AuthResult(success=good, handled=good)


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
async def server(tmp_path, mailbox):
    """Run aiosmtpd on a free port, with TLS required before AUTH and AUTH before MAIL."""
    files = identity_in(tmp_path, "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate_file, files.key_file)
    loop = asyncio.get_running_loop()
    peers = []

    def connected():
        peers.append(
            SMTP(mailbox, tls_context=tls, require_starttls=True, auth_required=True, authenticator=check, loop=loop)
        )
        return peers[-1]

    listening = await loop.create_server(connected, "127.0.0.1", 0)
    request = SmtpRequest(
        "localhost", listening.sockets[0].getsockname()[1], "starttls", "mailer", "correct horse",
        "news@shop.example", "ada@example.org", PAYLOAD, 5_000,
    )  # fmt: skip
    smtp = GuardedSmtp(LOOPBACK, str(files.ca_file))
    yield smtp, request
    await smtp.close()
    listening.close()
    for peer in peers:
        if peer._handler_coroutine is not None:
            peer._handler_coroutine.cancel()
        if peer.transport is not None:
            peer.transport.abort()
    await asyncio.sleep(0.01)


def plain(port, **changes):
    request = SmtpRequest("127.0.0.1", port, "none", None, None, "a@x.example", "b@y.example", PAYLOAD, 500)
    return msgspec.structs.replace(request, **changes)


@pytest.fixture
async def open_smtp():
    smtp = GuardedSmtp(LOOPBACK, allow_plain=True)
    yield smtp
    await smtp.close()
    await asyncio.sleep(0)


async def failure(smtp, request):
    with pytest.raises(EgressError) as caught:
        await smtp.send(request)
    return caught.value


# --- a real server ---


async def test_starttls_auth_and_the_message_arrives_as_it_was(server, mailbox):
    smtp, request = server
    assert await smtp.send(request) == SmtpReply("data", 250, "2.0.0 queued")
    assert mailbox.messages == [("news@shop.example", ["ada@example.org"], PAYLOAD)]


async def test_sessions_are_used_again(server, mailbox):
    smtp, request = server
    for _ in range(5):
        assert (await smtp.send(request)).code == 250
    assert (len(mailbox.messages), len(mailbox.sessions)) == (5, 1)


async def test_a_wrong_password_is_refused_at_auth(server, mailbox):
    smtp, request = server
    wrong = msgspec.structs.replace(request, password="canary")
    assert (await smtp.send(request)).code == 250
    reply = await smtp.send(wrong)
    assert (reply.stage, reply.code) == ("auth", 535)
    assert "canary" not in repr(wrong) + repr(reply)


async def test_a_dead_mailbox_is_refused_at_rcpt_and_the_session_continues(server, mailbox):
    smtp, request = server
    reply = await smtp.send(msgspec.structs.replace(request, recipient="dead@example.org"))
    assert reply == SmtpReply("rcpt", 550, "5.1.1 no such user")
    assert (await smtp.send(request)).code == 250
    assert [recipients for _, recipients, _ in mailbox.messages] == [["ada@example.org"]]


async def test_an_untrusted_server_gets_no_password(server):
    smtp, request = server
    stranger = GuardedSmtp(LOOPBACK)
    error = await failure(stranger, request)
    assert error.sent is Sent.NO
    assert "TLS" in error.detail
    assert (await smtp.send(request)).code == 250


async def test_a_certificate_for_another_name_is_not_enough(server, tmp_path):
    _, request = server
    smtp = GuardedSmtp(LOOPBACK, str(tmp_path / "ca.pem"), resolver=egress.Resolver(LOOPBACK, lookup=at_loopback))
    assert (await failure(smtp, msgspec.structs.replace(request, host="mail.bank.example"))).sent is Sent.NO


async def at_loopback(host, port):
    return ["127.0.0.1"]


async def test_many_at_once_share_a_bounded_number_of_sessions(simulator):
    async with simulator() as sim:
        smtp = GuardedSmtp(LOOPBACK, sim.ca_file)
        request = plain(sim.where.smtp_port, host="localhost", security="starttls", timeout_ms=20_000)
        replies = await asyncio.gather(*(smtp.send(request) for _ in range(100)))
        assert {reply.code for reply in replies} == {250}
        (pool,) = smtp._pools.values()
        assert len(pool.idle) <= SMTP_SESSIONS_MAX
        assert len(sim.receipts()) == 100
        await smtp.close()


# --- refused sessions ---


async def test_plain_sessions_need_permission():
    assert (await failure(GuardedSmtp(LOOPBACK), plain(2525))).blocked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "::1", "[::1]", "0x7f.1"])
async def test_private_hosts_are_refused(host):
    error = await failure(GuardedSmtp(allow_plain=True), plain(2525, host=host))
    assert (error.sent, error.blocked) == (Sent.NO, True)


@pytest.mark.parametrize("port", [22, 80, 443, 0])
async def test_ports_are_limited(port):
    assert (await failure(GuardedSmtp(LOOPBACK, allow_plain=True), plain(port))).blocked


@pytest.mark.parametrize("field", ["sender", "recipient"])
@pytest.mark.parametrize("junk", ["\r\nRCPT TO:<x@evil.example>", ">", " x", "\0", "ä"])
async def test_the_envelope_cannot_smuggle_commands(simulator, field, junk):
    async with simulator() as sim:
        smtp = GuardedSmtp(LOOPBACK, allow_plain=True)
        request = plain(sim.where.smtp_port)
        bad = msgspec.structs.replace(request, **{field: getattr(request, field) + junk})
        assert (await failure(smtp, bad)).sent is Sent.NO
        assert sim.receipts() == []


# --- servers that disconnect ---

STEPS = ["connect", "ehlo", "mail", "rcpt", "data", "payload"]


def breaking(step, how, banner=b"220 x ESMTP\r\n"):
    """Return a server that works until a step, then calls `how(writer)`."""

    async def server(reader, writer):
        if step == "connect":
            how(writer)
            return
        writer.write(banner)
        while line := await reader.readline():
            verb = line[:4].lower().decode()
            if verb == step:
                how(writer)
                return
            writer.write(b"354 go\r\n" if verb == "data" else b"250 ok\r\n")
            if verb == "data":
                await reader.readuntil(b"\r\n.\r\n")
                if step == "payload":
                    how(writer)
                    return
                writer.write(b"250 queued\r\n")

    return server


@pytest.mark.parametrize("how", [cut, lambda writer: writer.close()], ids=["reset", "close"])
@pytest.mark.parametrize("step", STEPS)
async def test_only_a_lost_reply_to_the_final_dot_leaves_doubt(open_smtp, step, how):
    async with serving(breaking(step, how)) as port:
        error = await failure(open_smtp, plain(port))
    assert error.sent is (Sent.MAYBE if step == "payload" else Sent.NO)
    assert not error.blocked


@pytest.mark.parametrize("step", STEPS)
async def test_so_does_a_hang(open_smtp, step):
    async def server(reader, writer):
        await breaking(step, lambda writer: None)(reader, writer)
        await asyncio.Event().wait()

    async with serving(server) as port:
        error = await failure(open_smtp, plain(port, timeout_ms=150))
    assert error.sent is (Sent.MAYBE if step == "payload" else Sent.NO)


async def test_a_refused_connection_sent_nothing(open_smtp):
    async with serving(breaking("connect", cut)) as port:
        pass
    assert (await failure(open_smtp, plain(port))).sent is Sent.NO


async def test_a_session_that_died_idle_is_replaced_without_anyone_noticing(open_smtp):
    connections = 0

    async def one_message(reader, writer):
        nonlocal connections
        connections += 1
        await breaking("rset", cut)(reader, Once(writer))

    class Once:
        """A writer that passes writes through and disconnects after the first message."""

        def __init__(self, writer):
            self.writer = writer

        def write(self, data):
            self.writer.write(data)
            if data == b"250 queued\r\n":
                self.writer.close()

    async with serving(one_message) as port:
        for _ in range(3):
            assert (await open_smtp.send(plain(port))).code == 250
    assert connections == 3


@pytest.mark.parametrize(
    ("banner", "stage", "code"), [(b"554 5.3.2 go away\r\n", "connect", 554), (b"421 busy\r\n", "connect", 421)]
)
async def test_a_banner_that_refuses(open_smtp, banner, stage, code):
    async with serving(breaking("never", cut, banner)) as port:
        reply = await open_smtp.send(plain(port))
    assert (reply.stage, reply.code) == (stage, code)


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400 Bad Request\r\n", b"x" * 40_000, b"220-a\r\n" * 10_000])
async def test_a_server_that_speaks_something_else(open_smtp, banner):
    async with serving(breaking("never", cut, banner)) as port:
        assert (await failure(open_smtp, plain(port))).sent is Sent.NO


async def test_replies_before_the_handshake_are_not_read_as_replies_inside_it():
    async def injecting(reader, writer):
        writer.write(b"220 x\r\n")
        while line := await reader.readline():
            writer.write(
                b"220 go\r\n250 injected\r\n" if line.startswith(b"STARTTLS") else b"250-x\r\n250 STARTTLS\r\n"
            )

    smtp = GuardedSmtp(LOOPBACK)
    async with serving(injecting) as port:
        error = await failure(smtp, plain(port, security="starttls"))
    assert (error.sent, bool(re.search("before the TLS", error.detail))) == (Sent.NO, True)


async def test_pipelined_data_without_recipient_sends_nothing(open_smtp):
    bodies = []

    async def eager(reader, writer):
        writer.write(b"220 x\r\n")
        while line := await reader.readline():
            verb = line[:4]
            if verb == b"DATA":
                writer.write(b"354 go\r\n")
                bodies.append(await reader.readuntil(b".\r\n"))
                writer.write(b"554 no valid recipients\r\n")
            else:
                writer.write(
                    {b"EHLO": b"250-x\r\n250 PIPELINING\r\n", b"RCPT": b"550 5.1.1 who\r\n"}.get(verb, b"250 ok\r\n")
                )

    async with serving(eager) as port:
        assert await open_smtp.send(plain(port)) == SmtpReply("rcpt", 550, "5.1.1 who")
    assert bodies == [b".\r\n"]


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (b"421 4.3.2 closing", SmtpReply("mail", 421, "4.3.2 closing")),
        (b"554 5.7.1 blocked", SmtpReply("mail", 554, "5.7.1 blocked")),
        (b"250 ok\r\n550 5.1.1 who", SmtpReply("rcpt", 550, "5.1.1 who")),
        (b"250 ok\r\n550 5.1.1 who\r\n503 no", SmtpReply("rcpt", 550, "5.1.1 who")),
        (b"250 ok\r\n550 5.1.1 who\r\n354 go", SmtpReply("rcpt", 550, "5.1.1 who")),
    ],
)
async def test_what_a_server_says_before_it_hangs_up_counts(open_smtp, words, reply):
    async def curt(reader, writer):
        writer.write(b"220 x\r\n")
        await reader.readline()
        writer.write(b"250-x\r\n250 PIPELINING\r\n")
        await reader.readuntil(b"DATA\r\n")
        writer.write(words + b"\r\n")
        writer.close()

    async with serving(curt) as port:
        assert await open_smtp.send(plain(port)) == reply


# --- verifying an account ---


async def test_trying_goes_as_far_as_auth_and_leaves_nothing_behind(server, mailbox):
    smtp, request = server
    tried = msgspec.structs.replace(request, sender="", recipient="", payload=b"")
    assert (await smtp.check(tried)).code == 250
    refused = await smtp.check(msgspec.structs.replace(tried, password="wrong"))
    assert (refused.stage, refused.code) == ("auth", 535)
    assert mailbox.messages == []
    assert smtp._pools == {}


async def test_trying_says_what_kept_it_from_the_server(open_smtp, server):
    async with serving(breaking("connect", cut)) as port:
        with pytest.raises(EgressError, match="closed the connection"):
            await open_smtp.check(plain(port))
    smtp, request = server
    with pytest.raises(EgressError, match="without TLS") as caught:
        await smtp.check(msgspec.structs.replace(request, security="none"))
    assert caught.value.blocked
