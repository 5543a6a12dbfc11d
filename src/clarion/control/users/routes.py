"""Users, preferences, devices and the bulk import over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

import msgspec
from babel import Locale
from babel.localedata import locale_identifiers

from clarion.control.paging import page_of, page_reply
from clarion.control.users import bulk
from clarion.control.users.rules import (
    DeviceBody,
    Known,
    Places,
    Preferences,
    UserBody,
    canonical,
    check_device,
    check_user,
)
from clarion.domain.address import identifier
from clarion.domain.errors import Malformed, NotFound
from clarion.domain.limits import BULK_BATCH_BYTES_MAX, BULK_BATCH_LINES
from clarion.ports.control import Control
from clarion.ports.control_users import UserRecord
from clarion.ports.pages import PAGE_QUERIES
from clarion.ports.times import shown
from clarion.ports.web import Call, Reply, Route

_NO_USER = "no such user"


class UserView(msgspec.Struct, frozen=True):
    """A user as the API shows it."""

    id: str
    email: str | None
    phone: str | None
    whatsapp: str | None
    chat: str | None
    webhook: str | None
    locale: str
    zone: str
    attributes: dict[str, Any]
    preferences: Preferences
    devices: list[dict[str, str]]
    created_at: datetime
    updated_at: datetime


@lru_cache(maxsize=1)
def places() -> Places:
    """Return the zones, languages and territories of this installation's tz and CLDR data."""
    territories = frozenset(Locale("en").territories)
    return Places(frozenset(available_timezones()), frozenset(locale_identifiers()), territories)


class _Handlers:
    def __init__(self, control: Control) -> None:
        self._users = control.users
        self._topics = control.topics
        self._categories = control.categories

    async def put(self, call: Call) -> Reply:
        tenant, user_id, body = call.caller.tenant, call.path["id"], call.body
        await self._users.put_many(
            tenant, [check_user(user_id, body, places(), await self._known(tenant, body.topics))]
        )
        return await self._shown(tenant, user_id)

    async def get(self, call: Call) -> Reply:
        return await self._shown(call.caller.tenant, call.path["id"])

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        users = await self._users.page(call.caller.tenant, after, limit + 1)
        return page_reply(users, limit, lambda user: [user.user_id], _view)

    async def erase(self, call: Call) -> Reply:
        if not await self._users.erase(call.caller.tenant, call.path["id"]):
            raise NotFound(_NO_USER)
        return Reply(status=204)

    async def get_preferences(self, call: Call) -> Reply:
        return Reply((await self._get(call.caller.tenant, call.path["id"])).preferences)

    async def put_preferences(self, call: Call) -> Reply:
        tenant = call.caller.tenant
        text = canonical(call.body, await self._categories.keys(tenant), field="")
        if not await self._users.set_preferences(tenant, call.path["id"], text):
            raise NotFound(_NO_USER)
        return Reply(raw=text.encode())

    async def put_device(self, call: Call) -> Reply:
        device = check_device(identifier(call.path["device_id"], "device_id"), call.body)
        if not await self._users.put_device(call.caller.tenant, call.path["id"], device):
            raise NotFound(_NO_USER)
        return Reply(_device_view(device))

    async def remove_device(self, call: Call) -> Reply:
        if not await self._users.remove_device(call.caller.tenant, call.path["id"], call.path["device_id"]):
            raise NotFound("no such user or device")
        return Reply(status=204)

    async def import_lines(self, call: Call) -> Reply:
        if call.stream is None:
            raise Malformed("the body must be newline-delimited JSON")
        report = bulk.Report()
        async for lines in _batches(call.stream):
            await self._import(call.caller.tenant, lines, report)
        return Reply(report)

    async def _import(self, tenant: str, lines: list[bulk.Line], report: bulk.Report) -> None:
        """Store the good lines of one batch in one transaction and report the others.

        Decoding and checking thousands of lines goes to a thread: other requests are answered meanwhile.
        """
        shaped, misshapen = await asyncio.to_thread(bulk.decode, lines)
        known = await self._known(tenant, sorted({topic for _, line in shaped for topic in line.topics}))
        users, wrong = await asyncio.to_thread(bulk.check, shaped, places(), known)
        if users:
            await self._users.put_many(tenant, users)
        report.received += len(lines)
        report.stored += len(users)
        report.refuse(sorted(misshapen + wrong, key=lambda error: error.line))

    async def _known(self, tenant: str, topics: list[str]) -> Known:
        return Known(await self._categories.keys(tenant), await self._topics.known(tenant, topics))

    async def _get(self, tenant: str, user_id: str) -> UserRecord:
        user = await self._users.get(tenant, user_id)
        if user is None:
            raise NotFound(_NO_USER)
        return user

    async def _shown(self, tenant: str, user_id: str) -> Reply:
        return Reply(_view(await self._get(tenant, user_id)))


async def _batches(stream: AsyncIterator[bytes]) -> AsyncIterator[list[bulk.Line]]:
    cutter = bulk.LineCutter()
    waiting: list[bulk.Line] = []
    size = 0
    async for piece in stream:
        for line in cutter.feed(piece):
            waiting.append(line)
            size += len(line[1])
            if len(waiting) == BULK_BATCH_LINES or size >= BULK_BATCH_BYTES_MAX:
                yield waiting
                waiting, size = [], 0
    waiting += cutter.end()
    if waiting:
        yield waiting


def _device_view(device: Any) -> dict[str, str]:
    return {"id": device.device_id, "channel": device.kind, "token": device.token}


def _view(user: UserRecord) -> UserView:
    values = msgspec.structs.asdict(user)
    values |= {
        "id": values.pop("user_id"),
        "devices": [_device_view(device) for device in user.devices],
        "created_at": shown(values.pop("created_ms")),
        "updated_at": shown(values.pop("updated_ms")),
    }
    return UserView(**values)


def routes(control: Control) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control)
    write, read, tag = "users:write", "users:read", "users"
    one, preferences, device = "/v1/users/{id}", "/v1/users/{id}/preferences", "/v1/users/{id}/devices/{device_id}"
    return [
        Route("POST", "/v1/users/bulk", do.import_lines, write, "Create or replace users, one JSON object a line",
              reply=bulk.Report, stream=True, tag=tag),
        Route("GET", "/v1/users", do.page, read, "List users", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Create or replace a user", body=UserBody, reply=UserView, tag=tag),
        Route("GET", one, do.get, read, "Get a user", reply=UserView, tag=tag),
        Route("DELETE", one, do.erase, write, "Erase a user", status=204, tag=tag),
        Route("PUT", preferences, do.put_preferences, write, "Replace a user's preferences",
              body=Preferences, reply=Preferences, tag=tag),
        Route("GET", preferences, do.get_preferences, read, "Get a user's preferences", reply=Preferences, tag=tag),
        Route("PUT", device, do.put_device, write, "Add or replace a device", body=DeviceBody, tag=tag),
        Route("DELETE", device, do.remove_device, write, "Remove a device", status=204, tag=tag),
    ]  # fmt: skip
