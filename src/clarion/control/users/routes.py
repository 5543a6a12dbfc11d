"""Users, devices and the bulk import over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec

from clarion.control.categories.resource import critical_categories
from clarion.control.users import bulk, routes_choices
from clarion.control.users.places import places
from clarion.control.users.preferences import Preferences, view
from clarion.control.users.routes_choices import QuietHoursView, source_of
from clarion.control.users.rules import DeviceBody, Known, UserBody, check_device, check_user
from clarion.domain.address import identifier
from clarion.domain.errors import Malformed, existing
from clarion.domain.json_values import marks_in
from clarion.domain.limits_processes import BULK_BATCH_BYTES_MAX, BULK_BATCH_LINES, BULK_BATCH_VALUES_MAX
from clarion.domain.times import shown
from clarion.ports.control import Control
from clarion.ports.control_users import UserRecord
from clarion.ports.web import Call, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, page_of, page_reply
from clarion.runtime.slices import sliced


class UserView(msgspec.Struct, frozen=True):
    """A user in the API's responses."""

    id: str
    email: str | None
    phone: str | None
    whatsapp: str | None
    chat: str | None
    webhook: str | None
    contacts: dict[str, tuple[str, ...]]
    locale: str
    zone: str
    attributes: dict[str, Any]
    preferences: Preferences
    quiet_hours: QuietHoursView | None
    devices: list[dict[str, str]]
    last_seen_at: datetime | None
    created_at: datetime
    updated_at: datetime


class _Handlers:
    def __init__(self, control: Control) -> None:
        self._users = control.users
        self._topics = control.topics
        self._documents = control.documents

    async def put(self, call: Call) -> Reply:
        tenant, user_id, body = call.caller.tenant, call.path["id"], call.body
        user = check_user(user_id, body, places(), await self._known(tenant, body.topics))
        await self._users.put_many(tenant, [user], source_of(call))
        return await self._shown(tenant, user_id)

    async def get(self, call: Call) -> Reply:
        return await self._shown(call.caller.tenant, call.path["id"])

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        users = await self._users.page(call.caller.tenant, after, limit + 1)
        return page_reply(users, limit, lambda user: [user.user_id], _view)

    async def erase(self, call: Call) -> Reply:
        existing(await self._users.erase(call.caller.tenant, call.path["id"]), "user")
        return Reply(status=204)

    async def put_device(self, call: Call) -> Reply:
        device = check_device(identifier(call.path["device_id"], "device_id"), call.body)
        existing(await self._users.put_device(call.caller.tenant, call.path["id"], device), "user")
        return Reply(_device_view(device))

    async def remove_device(self, call: Call) -> Reply:
        user_id, device_id = call.path["id"], call.path["device_id"]
        existing(await self._users.remove_device(call.caller.tenant, user_id, device_id), "user or device")
        return Reply(status=204)

    async def import_lines(self, call: Call) -> Reply:
        if call.stream is None:
            raise Malformed("the body must be newline-delimited JSON")
        report = bulk.Report()
        async for lines in _batches(call.stream):
            await self._import(call, lines, report)
        return Reply(report)

    async def _import(self, call: Call, lines: list[bulk.Line], report: bulk.Report) -> None:
        """Store the valid lines of one batch in one transaction and report the other lines. Thousands of lines are
        decoded and checked in a thread, so that other requests are not delayed.
        """
        tenant = call.caller.tenant
        shaped, misshapen = await asyncio.to_thread(bulk.decode, sliced(lines))
        known = await self._known(tenant, sorted({topic for _, line in shaped for topic in line.topics}))
        users, wrong = await asyncio.to_thread(bulk.check, sliced(shaped), places(), known)
        if users:
            await self._users.put_many(tenant, users, source_of(call))
        report.received += len(lines)
        report.stored += len(users)
        report.refuse(sorted(misshapen + wrong, key=lambda error: error.line))

    async def _known(self, tenant: str, topics: list[str]) -> Known:
        return Known(await critical_categories(self._documents, tenant), await self._topics.known(tenant, topics))

    async def _shown(self, tenant: str, user_id: str) -> Reply:
        return Reply(_view(existing(await self._users.get(tenant, user_id), "user")))


async def _batches(stream: AsyncIterator[bytes]) -> AsyncIterator[list[bulk.Line]]:
    cutter = bulk.LineCutter()
    waiting: list[bulk.Line] = []
    size = values = 0
    async for piece in stream:
        for line in cutter.feed(piece):
            waiting.append(line)
            size += len(line[1])
            values += marks_in(line[1])
            full = len(waiting) == BULK_BATCH_LINES or size >= BULK_BATCH_BYTES_MAX
            if full or values >= BULK_BATCH_VALUES_MAX:
                yield waiting
                waiting, size, values = [], 0, 0
    waiting += cutter.end()
    if waiting:
        yield waiting


def _device_view(device: Any) -> dict[str, str]:
    return {"id": device.device_id, "channel": device.kind, "token": device.token}


def _view(user: UserRecord) -> UserView:
    values = msgspec.structs.asdict(user)
    values |= {
        "id": values.pop("user_id"),
        "contacts": values.pop("more_contacts"),
        "preferences": view(user.preferences),
        "quiet_hours": user.quiet_hours and QuietHoursView.of(user.quiet_hours),
        "last_seen_at": shown(values.pop("last_seen_ms")),
        "devices": [_device_view(device) for device in user.devices],
        "created_at": shown(values.pop("created_ms")),
        "updated_at": shown(values.pop("updated_ms")),
    }
    return UserView(**values)


def routes(control: Control) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control)
    write, read, tag = "users:write", "users:read", "users"
    one, device = "/v1/users/{id}", "/v1/users/{id}/devices/{device_id}"
    return [
        Route("POST", "/v1/users/bulk", do.import_lines, write, "Create or replace users, one JSON object a line",
              reply=bulk.Report, stream=True, tag=tag),
        Route("GET", "/v1/users", do.page, read, "List users", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Create or replace a user", body=UserBody, reply=UserView, tag=tag),
        Route("GET", one, do.get, read, "Get a user", reply=UserView, tag=tag),
        Route("DELETE", one, do.erase, "users:erase", "Erase a user", status=204, tag=tag),
        *routes_choices.routes(control),
        Route("PUT", device, do.put_device, "devices:write", "Add or replace a device", body=DeviceBody, tag=tag),
        Route("DELETE", device, do.remove_device, "devices:write", "Remove a device", status=204, tag=tag),
    ]  # fmt: skip
