"""Unsubscribing over HTTP: a POST that acts alone, and a page for people.

Mail programs POST the form of RFC 8058 with nothing but the link: no cookie and no credential, so the token in the path is
all there is. They follow no redirect. A GET changes nothing: programs that look for dangerous links open every one.
"""

import asyncio
from typing import Final

import msgspec

from clarion.control.unsubscribe import pages
from clarion.control.unsubscribe.rules import is_one_click, without
from clarion.domain.address import suppression_key
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.limits_email import UNSUBSCRIBE_BODY_BYTES_MAX
from clarion.domain.template import BRAND_KEY, Brand
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.control_accounts import Suppression
from clarion.ports.unsubscribing import Subject, Unsubscribing
from clarion.ports.web import PUBLIC, Call, Reply, Route

SOURCE: Final = "unsubscribe"
"""Who said no, in the history of what a user allowed and refused."""
REASON: Final = "unsubscribed"
"""Why the address of a recipient who is no user is suppressed."""
PATH: Final = "/v1/unsubscribe/{token}"
_BRAND: Final = msgspec.json.Decoder(Brand)


class _Handlers:
    def __init__(self, control: Control, links: Unsubscribing, clock: Clock) -> None:
        self._control = control
        self._links = links
        self._clock = clock
        # Preferences are read and written whole: of two clicks at a time, neither may undo the other.
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, call: Call) -> Reply:
        subject = self._links.read(call.path["token"])
        if subject is None:
            return _page(pages.unknown(), 404)
        return _page(pages.question(await self._brand(subject.tenant), subject.category, subject.address))

    async def act(self, call: Call) -> Reply:
        subject = self._links.read(call.path["token"])
        if subject is None or subject.channel not in CHANNELS:
            return _page(pages.unknown(), 404)
        if not is_one_click(call.headers.get("content-type", ""), call.raw):
            return _page(pages.not_understood(), 400)
        async with self._one_at_a_time:
            await (self._opt_out(subject) if subject.user_id else self._suppress(subject))
        return _page(pages.done(await self._brand(subject.tenant), subject.category))

    async def _opt_out(self, subject: Subject) -> None:
        """Say no in the user's name. Nothing is to be done for a user who is gone, nor for a category that is: neither gets
        anything. One that became critical since cannot be refused, and the page would be wrong, but no link leads here
        from its e-mails."""
        user = await self._control.users.get(subject.tenant, subject.user_id)
        if user is None:
            return
        text = without(user.preferences, subject.category, subject.channel)
        if text is not None:
            await self._control.users.set_preferences(subject.tenant, subject.user_id, text, SOURCE)

    async def _suppress(self, subject: Subject) -> None:
        """Suppress an address, unless it is already for good: the first reason stays."""
        channel = Channel(subject.channel)
        entry = Suppression(channel, suppression_key(channel, subject.address), REASON, self._clock.now_ms())
        await self._control.suppressions.learn(subject.tenant, [entry])

    async def _brand(self, tenant: str) -> Brand:
        found = await self._control.definitions.get(tenant, Brand.KIND, BRAND_KEY)
        return Brand() if found is None else _BRAND.decode(found.body)


def _page(html: bytes, status: int = 200) -> Reply:
    return Reply(raw=html, status=status, content_type="text/html; charset=utf-8")


def routes(control: Control, links: Unsubscribing, clock: Clock) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, links, clock)
    return [
        Route("POST", PATH, do.act, PUBLIC, "Unsubscribe in one click, as mail programs do (RFC 8058)",
              limit_bytes=UNSUBSCRIBE_BODY_BYTES_MAX, raw=True, tag="preferences"),
        Route("GET", PATH, do.ask, PUBLIC, "A page with a button to unsubscribe", tag="preferences"),
    ]  # fmt: skip
