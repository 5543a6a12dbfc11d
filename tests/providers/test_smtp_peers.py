"""The SMTP vendor against aiosmtpd: extensions of servers, replies for one recipient, and size limits."""

import asyncio
from email import message_from_bytes, message_from_string, policy

import msgspec
import pytest
from aiosmtpd.smtp import SMTP

from clarion.domain.attachment import Attachment
from clarion.domain.outcome import Accepted, InvalidRecipient, Refused, Transient
from clarion.outbound.net.smtp import GuardedSmtp
from clarion.providers.email import smtp
from tests.providers import battery

TABLE = battery.tables()["email_smtp"]
REPLIES = {
    "dead": "550 5.1.1 no such user",
    "gone": "551 user not local",
    "grey": "451 4.7.1 try again later",
    "full": "452 4.2.2 mailbox full",
    "policy": "550 5.7.1 not from you",
}
OUTCOMES = {"dead": InvalidRecipient, "gone": InvalidRecipient, "grey": Transient, "full": Transient, "policy": Refused}


class Peer:
    """A handler that refuses recipients by their names, and records accepted messages."""

    def __init__(self, *, offers=(), at_mail="", at_data=""):
        self.mails, self.sessions, self.offers, self.at_mail, self.at_data = [], set(), offers, at_mail, at_data

    async def handle_EHLO(self, server, session, envelope, hostname, responses):  # noqa: N802
        session.host_name = hostname
        return [*responses[:-1], *(f"250-{word}" for word in self.offers), responses[-1]]

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        envelope.mail_from, envelope.mail_options = address, options
        return self.at_mail or "250 2.1.0 ok"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        refusal = REPLIES.get(address.partition("-")[0])
        if refusal is None:
            envelope.rcpt_tos.append(address)
        await asyncio.sleep(0)
        return refusal or "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.mails.append((envelope.mail_options, envelope.rcpt_tos, envelope.original_content))
        self.sessions.add(session)
        return self.at_data or "250 2.0.0 queued"


@pytest.fixture
async def serve():
    """Return a function that starts a server for a handler and returns a function that sends an e-mail to it."""
    loop, peers, listening = asyncio.get_running_loop(), [], []
    egress = GuardedSmtp(("127.0.0.0/8",), allow_plain=True)

    async def start(handler, **options):
        def connected():
            peers.append(SMTP(handler, loop=loop, **options))
            return peers[-1]

        listening.append(await loop.create_server(connected, "127.0.0.1", 0))
        port = listening[-1].sockets[0].getsockname()[1]
        where = {"host": "127.0.0.1", "port": port, "security": "none"}

        async def send(address="ada@example.org", *, files=(), settings=None, **parts):
            account = battery.account(TABLE)
            account = msgspec.structs.replace(
                account, settings={**account.settings, **where, **(settings or {})}, credentials={}
            )
            message = battery.message(TABLE, address=address, parts={"subject": "s", "text": "t", **parts})
            message = msgspec.structs.replace(message, attachments=tuple(files))
            request = smtp.build(message, account, now_ms=message.created_ms, token=None)
            return smtp.read(await egress.send(request), message, account, now_ms=message.created_ms)

        return send

    yield start
    await egress.close()
    for one in listening:
        one.close()
    for peer in peers:
        if peer._handler_coroutine is not None:
            peer._handler_coroutine.cancel()
        if peer.transport is not None:
            peer.transport.abort()
    await asyncio.sleep(0.01)


# --- SMTPUTF8 (RFC 6531) ---


@pytest.mark.parametrize("offers", [(), ("PIPELINING",)])
async def test_an_address_in_any_script_goes_to_a_server_that_takes_it(serve, offers):
    peer = Peer(offers=offers)
    send = await serve(peer, enable_SMTPUTF8=True)
    assert isinstance(await send("用户@bücher.example", subject="你好"), Accepted)
    ((options, recipients, content),) = peer.mails
    assert {"SMTPUTF8", "BODY=8BITMIME"} <= set(options)
    assert recipients == ["用户@xn--bcher-kva.example"]
    mail = message_from_string(content.decode(), policy=policy.SMTPUTF8)
    assert (mail["To"].addresses[0].addr_spec, mail["Subject"]) == ("用户@xn--bcher-kva.example", "你好")


async def test_so_does_a_sender_in_any_script(serve):
    peer = Peer()
    send = await serve(peer, enable_SMTPUTF8=True)
    assert isinstance(await send(settings={"from_email": "grüße@shop.example"}), Accepted)
    mail = message_from_string(peer.mails[0][2].decode(), policy=policy.SMTPUTF8)
    assert mail["From"].addresses[0].addr_spec == "grüße@shop.example"


async def test_nothing_is_asked_of_a_server_that_does_not_offer_it(serve):
    peer = Peer()
    send = await serve(peer)
    outcome = await send("grüße@example.org")
    assert (type(outcome), outcome.reason) == (Refused, "smtputf8_unsupported")
    assert isinstance(await send("ada@example.org"), Accepted)
    assert [recipients for _, recipients, _ in peer.mails] == [["ada@example.org"]]


async def test_what_needs_no_more_than_ascii_asks_for_no_more(serve):
    peer = Peer()
    send = await serve(peer, enable_SMTPUTF8=True)
    await send("ada@bücher.example", subject="Grüße", from_name="Käufer", files=[Attachment("Ü.pdf", "", b"x")])
    ((options, recipients, content),) = peer.mails
    assert not [word for word in options if word == "SMTPUTF8"]
    assert recipients == ["ada@xn--bcher-kva.example"]
    assert content.isascii()


# --- replies for one recipient ---


@pytest.mark.parametrize("offers", [(), ("PIPELINING",)])
async def test_each_reply_is_for_its_own_recipient(serve, offers):
    peer = Peer(offers=offers)
    send = await serve(peer)
    names = [f"{name}-{number}" for number in range(8) for name in (*REPLIES, "fine")]
    outcomes = await asyncio.gather(*(send(f"{name}@example.org") for name in names))
    wanted = [OUTCOMES.get(name.partition("-")[0], Accepted) for name in names]
    assert [type(outcome) for outcome in outcomes] == wanted
    assert sorted(recipients for _, recipients, _ in peer.mails) == [
        [f"fine-{number}@example.org"] for number in range(8)
    ]
    assert all(message_from_bytes(content)["To"] == recipients[0] for _, recipients, content in peer.mails)
    assert all(outcome.detail.startswith("rcpt: ") for outcome in outcomes if not isinstance(outcome, Accepted))


# --- size ---


async def test_what_is_over_the_servers_size_is_not_sent(serve):
    peer = Peer()
    send = await serve(peer, data_size_limit=5_000)
    outcome = await send(files=[Attachment("a.bin", "", bytes(10_000))])
    assert (outcome.reason, "5000 bytes" in outcome.detail) == ("too_large", True)
    assert peer.mails == []
    assert isinstance(await send(), Accepted)


@pytest.mark.parametrize("when", [{"at_mail": "552 5.3.4 too big"}, {"at_data": "552 5.3.4 too big"}])
async def test_a_server_that_finds_it_too_large_later_says_so(serve, when):
    send = await serve(Peer(**when), data_size_limit=0)
    assert (await send()).reason == "too_large"


# --- content ---


async def test_files_arrive_as_they_were(serve):
    peer = Peer(offers=("PIPELINING",))
    send = await serve(peer)
    content = b".\r\n..\r\n\x00\xff" * 5_000
    logo = Attachment("logo.png", "", b"\x89PNG", cid="logo")
    await send(html="<img src='cid:logo'>", files=[Attachment("grüße.bin", "", content), logo])
    mail = message_from_bytes(peer.mails[0][2], policy=policy.default)
    (file,) = mail.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("grüße.bin", content)
    assert [part["Content-ID"] for part in mail.walk() if part["Content-ID"]] == ["<logo>"]


async def test_a_second_attempt_has_the_same_id_and_bytes(serve):
    peer = Peer()
    send = await serve(peer)
    for _ in range(2):
        await send(files=[Attachment("a.pdf", "", b"x")])
    first, second = (content for _, _, content in peer.mails)
    assert first == second
    assert message_from_bytes(first)["Message-ID"]
