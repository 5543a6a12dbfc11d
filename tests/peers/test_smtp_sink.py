"""The SMTP vendor against Postfix' smtp-sink, where it is installed: mail arrives byte for byte, and each failure is recognized."""

import asyncio
import contextlib
import getpass
import shutil

import msgspec
import pytest

from clarion.domain.attachment import Attachment
from clarion.domain.errors import EgressError, Sent
from clarion.domain.outcome import Accepted, Refused, Transient
from clarion.outbound.net.smtp import GuardedSmtp
from clarion.providers.email import smtp
from clarion_lab.machine.ports import free_port
from tests.providers import battery

SINK = shutil.which("smtp-sink", path=f"{':'.join(['/usr/sbin', '/usr/lib/postfix/sbin'])}") or shutil.which(
    "smtp-sink"
)
TABLE = battery.tables()["email_smtp"]
START_S = 10

pytestmark = pytest.mark.skipif(SINK is None, reason="smtp-sink, which comes with Postfix, is not installed")


@contextlib.asynccontextmanager
async def sink(*options):
    """Run smtp-sink; yield a function that builds a message's request for it, and one that sends it."""
    port, egress = free_port(), GuardedSmtp(("127.0.0.0/8",), allow_plain=True)
    account = battery.account(TABLE)
    where = {"host": "127.0.0.1", "port": port, "security": "none"}
    account = msgspec.structs.replace(account, settings={**account.settings, **where}, credentials={})

    def request(message):
        return smtp.build(message, account, now_ms=battery.NOW_MS, token=None)

    async def send(message):
        return smtp.read(await egress.send(request(message)), message, account, now_ms=battery.NOW_MS)

    command = [SINK, "-u", getpass.getuser(), *options, f"127.0.0.1:{port}", "100"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(START_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield request, send
    finally:
        await egress.close()
        process.terminate()
        await process.wait()


def mail(number=1):
    message = battery.message(
        TABLE,
        delivery_id=f"dlv_{number:048x}",
        address=f"user{number}@example.org",
        parts={"subject": f"Größe {number}", "text": f".\n..\n{number}\n.", "html": "<p>.</p>"},
    )
    return msgspec.structs.replace(message, attachments=(Attachment("a.bin", content=b"\r\n.\r\n" * 100),))


async def test_mail_arrives_to_the_byte(tmp_path):
    async with sink("-D", str(tmp_path / "mails")) as (request, send):
        mails = [mail(number) for number in range(40)]
        done = await asyncio.gather(*map(send, mails))
        assert all(isinstance(outcome, Accepted) for outcome in done)
        payloads = [request(mail).payload.replace(b"\r\n", b"\n") for mail in mails]
    received = (tmp_path / "mails").read_bytes()
    assert [received.count(payload) for payload in payloads] == [1] * len(mails)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
async def test_permanent_and_temporary_refusals_are_distinguished(command):
    async with sink("-f", command) as (_, send):
        assert isinstance(await send(mail()), Refused)
    async with sink("-r", command) as (_, send):
        assert isinstance(await send(mail()), Transient)
    async with sink("-Q", command) as (_, send):
        assert isinstance(await send(mail()), Transient)


@pytest.mark.parametrize(
    ("command", "sent"), [("EHLO", Sent.NO), ("RCPT", Sent.NO), ("DATA", Sent.NO), (".", Sent.MAYBE)]
)
async def test_only_after_the_final_dot_a_lost_connection_may_have_sent(command, sent):
    async with sink("-q", command) as (_, send):
        with pytest.raises(EgressError) as caught:
            await send(mail())
    assert caught.value.sent is sent
