"""E-mails with files and one-click links, through every e-mail API to its simulator."""

import msgspec
import pytest

from clarion.domain.attachment import Attachment
from clarion.domain.message import Message
from clarion.domain.outcome import Accepted
from tests.providers.test_simulated_vendors import PARTS, VENDORS, now_ms, start  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow

FILES = (
    Attachment("Rechnung für März.pdf", "", b"%PDF\r\n\x00\xff" * 1_000),
    Attachment("logo.png", "image/png", b"\x89PNG", cid="logo"),
)


@pytest.mark.parametrize("name", ["ses", "sendgrid", "mailgun", "postmark"])
async def test_files_are_taken(start, name):  # noqa: F811
    sender = await start()
    account = sender.account(name)
    message = Message(
        f"dlv_{7:048x}", "ntf_1", "acme", account.channel, "ada", sender.entries[name]["address"], PARTS["email"], 1,
        now_ms(), unsubscribe_url="https://notify.example.com/v1/unsubscribe/AbC", attachments=FILES,
    )  # fmt: skip
    vendor = VENDORS[account.channel, account.vendor]
    request = msgspec.structs.replace(vendor.build(message, account, now_ms=now_ms(), token=None), timeout_ms=5_000)
    outcome = vendor.read(await sender._http.send(request), message, account, now_ms=now_ms())
    assert isinstance(outcome, Accepted), outcome
    assert vendor.batch_key(message, account) is None
    plain = msgspec.structs.replace(message, attachments=())
    assert vendor.batch_key(plain, account) is not None
