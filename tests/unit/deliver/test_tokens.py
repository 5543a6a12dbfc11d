"""An access token is used only with the account that it was fetched for."""

from types import SimpleNamespace

import msgspec

from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Accepted
from clarion.domain.planned import PlannedDelivery
from clarion.providers.push import fcm
from tests.providers import battery

ACCOUNT = battery.account(battery.tables()["push_fcm"])


class Google:
    """Gives a new token with each request for one, and records what it got."""

    def __init__(self):
        self.asked, self.sent = [], []

    async def send(self, request):
        if request.url.endswith("/token"):
            self.asked.append(request.url)
            return HttpResponse(200, {}, b'{"access_token": "token-%d", "expires_in": 3600}' % len(self.asked))
        self.sent.append((request.url.split("/")[2], request.headers["authorization"]))
        return HttpResponse(200, {}, b'{"name": "projects/shop/messages/1"}')


async def test_a_token_does_not_go_to_an_account_made_again_under_the_name():
    """Such an account starts at the same version, possibly at another address."""
    google = Google()
    sender = Sender(
        SimpleNamespace(),
        {(Channel.PUSH, "fcm"): fcm},
        SimpleNamespace(holds=lambda *args: True, render=lambda *args, **more: {"title": "Hi"}),
        google,
        None,
        SimpleNamespace(now_ms=lambda: battery.NOW_MS, monotonic_ms=lambda: 0),
        SimpleNamespace(log=lambda *args, **fields: None),
    )  # fmt: skip
    delivery = bytes.fromhex(battery.DELIVERY.partition("_")[2])
    row = PlannedDelivery(delivery, "acme", "ada", "device", "en", "hi", "", {}, None, 1, None, None, None, None)
    moved = msgspec.structs.replace(ACCOUNT, settings=ACCOUNT.settings | {"base_url": "https://evil.test"})
    for account in (ACCOUNT, msgspec.structs.replace(ACCOUNT), moved):
        assert isinstance((await sender.attempt(Channel.PUSH, row, account)).outcome, Accepted)
    assert google.sent == [
        ("fcm.googleapis.com", "Bearer token-1"),
        ("fcm.googleapis.com", "Bearer token-1"),
        ("evil.test", "Bearer token-2"),
    ]
