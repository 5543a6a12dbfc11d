"""Unsubscribing over HTTP: a POST that needs nothing else, and a page for people.

Mail programs POST the form of RFC 8058 to the link without cookie or credential, so the token in the path is the only
credential. They follow no redirect. A GET changes nothing: link scanners open every link.
"""

import asyncio
from typing import Final

from clarion.control.unsubscribe import pages
from clarion.control.unsubscribe.rules import is_one_click, without
from clarion.domain.address import suppression_key
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.limits_content import UNSUBSCRIBE_BODY_BYTES_MAX
from clarion.domain.permissions import PUBLIC
from clarion.domain.template import BRAND_KEY, Brand
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.control_accounts import Suppression
from clarion.ports.unsubscribe_links import UnsubscribeLinks, UnsubscribeSubject
from clarion.ports.web import Call, Reply, Route
from clarion.resources.reads import find_body

SOURCE: Final = "unsubscribe"
"""The source of the opt-out in the history of consents."""
REASON: Final = "unsubscribed"
"""The reason of the suppression for a recipient who is not a user."""
PATH: Final = "/v1/unsubscribe/{token}"


class _Handlers:
    def __init__(self, control: Control, links: UnsubscribeLinks, clock: Clock) -> None:
        self._control = control
        self._links = links
        self._clock = clock
        # Preferences are read and written as a whole: of two concurrent clicks, neither may undo the other.
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

    async def _opt_out(self, subject: UnsubscribeSubject) -> None:
        """Opt the user out of the category. A removed user or category needs nothing: nothing is sent for either. A
        category that has become critical since cannot be opted out of, and the page would be wrong, but its e-mails
        have no such link."""
        user = await self._control.users.get(subject.tenant, subject.user_id)
        if user is None:
            return
        text = without(user.preferences, subject.category, subject.channel)
        if text is not None:
            await self._control.users.set_preferences(subject.tenant, subject.user_id, text, SOURCE)

    async def _suppress(self, subject: UnsubscribeSubject) -> None:
        """Suppress an address, unless it is suppressed without an end already: the first reason stays."""
        channel = Channel(subject.channel)
        entry = Suppression(channel, suppression_key(channel, subject.address), REASON, self._clock.now_ms())
        await self._control.suppressions.add_missing(subject.tenant, [entry])

    async def _brand(self, tenant: str) -> Brand:
        return await find_body(self._control.documents, tenant, Brand.KIND, BRAND_KEY, Brand) or Brand()


def _page(html: bytes, status: int = 200) -> Reply:
    return Reply(raw=html, status=status, content_type="text/html; charset=utf-8")


def routes(control: Control, links: UnsubscribeLinks, clock: Clock) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, links, clock)
    return [
        Route("POST", PATH, do.act, PUBLIC, "Unsubscribe in one click, as mail programs do (RFC 8058)",
              limit_bytes=UNSUBSCRIBE_BODY_BYTES_MAX, raw=True, tag="preferences"),
        Route("GET", PATH, do.ask, PUBLIC, "A page with a button to unsubscribe", tag="preferences"),
    ]  # fmt: skip
