"""Suppressed addresses over HTTP."""

from datetime import datetime
from typing import Annotated

import msgspec

from clarion.domain.address import contact, single_line, suppression_key
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.errors import InvalidField, existing
from clarion.domain.limits import ADDRESS_CHARS_MAX, KEY_CHARS_MAX, SUPPRESSION_TTL_MS_MAX
from clarion.domain.permissions import CONTACTS
from clarion.domain.times import Time, shown, stored
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import Suppression, Suppressions
from clarion.ports.secrets import SealBroken, Vault
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, Page, bytes_of, cursor_text, not_a_cursor, page_of, page_reply

_CURSOR = "suppressions-cursor"
_WHICH = (Query("channel", "Only this channel"), Query("address", "Only this address"))


class SuppressionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address to suppress on a channel, until `expires_at` if given."""

    channel: Channel
    address: Annotated[str, msgspec.Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)]
    reason: Annotated[str, msgspec.Meta(min_length=1)] = "manual"
    expires_at: Time | None = None


class SuppressionView(msgspec.Struct, frozen=True):
    """A suppression in the API's responses."""

    channel: Channel
    address: str
    reason: str
    created_at: datetime
    expires_at: datetime | None


class _Handlers:
    def __init__(self, suppressions: Suppressions, clock: Clock, vault: Vault) -> None:
        self._suppressions = suppressions
        self._vault = vault
        self._clock = clock

    async def add(self, call: Call) -> Reply:
        body, now = call.body, self._clock.now_ms()
        expires_ms = stored(body.expires_at)
        if expires_ms is not None and not now < expires_ms <= now + SUPPRESSION_TTL_MS_MAX:
            raise InvalidField("must lie in the future, within a hundred years", field="expires_at")
        place = suppression_key(body.channel, contact(body.channel, body.address, "address"))
        entry = Suppression(body.channel, place, single_line(body.reason, "reason", KEY_CHARS_MAX), now, expires_ms)
        await self._suppressions.add(call.caller.tenant, [entry])
        return Reply(_view(entry), status=201)

    async def page(self, call: Call) -> Reply:
        tenant, hides = call.caller.tenant, CONTACTS not in call.caller.permissions
        (channel, address), limit = page_of(self._opened(tenant, call.query) if hides else call.query, keys=2)
        wanted = call.query.get("channel")
        if wanted is not None:
            wanted = _channel(wanted)
        found = await self._suppressions.page(tenant, wanted, call.query.get("address"), (channel, address), limit + 1)
        reply = page_reply(found, limit, lambda entry: [entry.channel, entry.address], _view)
        if hides and reply.body["next"] is not None:
            # The cursor holds an address.
            sealed = self._vault.seal(tenant, _CURSOR, reply.body["next"].encode())
            reply.body["next"] = cursor_text(sealed)
        return reply

    def _opened(self, tenant: str, query: dict[str, str]) -> dict[str, str]:
        """Return a query with the cursor that was sealed for who may not read addresses. Raises `InvalidField`."""
        if "after" not in query:
            return query
        try:
            return query | {"after": self._vault.open(tenant, _CURSOR, bytes_of(query["after"]) or b"").decode()}
        except SealBroken:
            raise not_a_cursor() from None

    async def remove(self, call: Call) -> Reply:
        channel = _channel(call.query.get("channel", ""))
        address = contact(channel, call.query.get("address", ""), "address")
        existing(await self._suppressions.remove(call.caller.tenant, channel, address), "suppression")
        return Reply(status=204)


def _channel(name: str) -> Channel:
    if name not in CHANNELS:
        raise InvalidField(f"no such channel: {name[:100]}", field="channel", code="unknown_channel")
    return Channel(name)


def _view(entry: Suppression) -> SuppressionView:
    return SuppressionView(
        entry.channel, entry.address, entry.reason, shown(entry.created_ms), shown(entry.expires_ms)
    )  # fmt: skip


def routes(suppressions: Suppressions, clock: Clock, vault: Vault) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(suppressions, clock, vault)
    write, read, tag, path = "suppressions:write", "suppressions:read", "suppressions", "/v1/suppressions"
    return [
        Route("GET", path, do.page, read, "List suppressed addresses",
              reply=Page[SuppressionView], queries=(*_WHICH, *PAGE_QUERIES), tag=tag),
        Route("POST", path, do.add, write, "Suppress an address",
              body=SuppressionBody, reply=SuppressionView, status=201, tag=tag),
        Route("DELETE", path, do.remove, write, "Remove a suppression", status=204, queries=_WHICH, tag=tag),
    ]  # fmt: skip
