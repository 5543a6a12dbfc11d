"""The choices of users over HTTP, set by the tenant or, with a user token, by themselves: preferences, quiet hours, and
the history of consents."""

from collections.abc import Callable
from datetime import datetime
from typing import Self

import msgspec

from clarion.control.categories.resource import critical_categories
from clarion.control.users.preferences import Preferences, canonical, view
from clarion.control.users.rules import quiet_text
from clarion.domain.content import CATEGORY_KIND, Category, read_category
from clarion.domain.errors import Forbidden, NotFound, existing
from clarion.domain.quiet import QuietHours
from clarion.domain.times import shown
from clarion.ports.control import Control
from clarion.ports.control_users import ConsentRecord, UserRecord
from clarion.ports.web import Call, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, cursor_of_keys, not_a_cursor, page, page_of, page_reply


class QuietHoursView(QuietHours, frozen=True, omit_defaults=False):
    """Quiet hours in the API's responses, with all fields."""

    @classmethod
    def of(cls, quiet: QuietHours) -> Self:
        """Return the view of quiet hours."""
        return cls(quiet.windows, quiet.channels)


class ConsentView(msgspec.Struct, frozen=True):
    """A change of one entry of the preferences; `allowed` is null when it is no longer set. `source` is the id of the
    API key that made the change, or `user`."""

    at: datetime
    category: str
    channel: str
    allowed: bool | None
    until: datetime | None
    source: str


def source_of(call: Call) -> str:
    """Return the source of a change: `user`, or the id of the tenant's key."""
    return call.caller.actor.id if call.caller.user_id is None else "user"


def _named(call: Call) -> str:
    return call.path["id"]


def _oneself(call: Call) -> str:
    if call.caller.user_id is None:
        raise Forbidden("this requires a user token")
    return call.caller.user_id


class _Choices:
    """The endpoints of one way to identify the user."""

    def __init__(self, control: Control, user_path: Callable[[Call], str]) -> None:
        self._users = control.users
        self._documents = control.documents
        self._user_path = user_path

    async def preferences(self, call: Call) -> Reply:
        return Reply(view((await self._user(call)).preferences))

    async def put_preferences(self, call: Call) -> Reply:
        tenant, user_id = call.caller.tenant, self._user_path(call)
        text = canonical(call.body, await critical_categories(self._documents, tenant), field="")
        existing(await self._users.set_preferences(tenant, user_id, text, source_of(call)), "user")
        return await self.preferences(call)

    async def quiet_hours(self, call: Call) -> Reply:
        quiet = (await self._user(call)).quiet_hours
        if quiet is None:
            raise NotFound("the user has no quiet hours of their own: the tenant's apply")
        return Reply(QuietHoursView.of(quiet))

    async def put_quiet_hours(self, call: Call) -> Reply:
        await self._set_quiet_hours(call, quiet_text(call.body))
        return await self.quiet_hours(call)

    async def remove_quiet_hours(self, call: Call) -> Reply:
        await self._set_quiet_hours(call, "")
        return Reply(status=204)

    async def _set_quiet_hours(self, call: Call, text: str) -> None:
        existing(await self._users.set_quiet_hours(call.caller.tenant, self._user_path(call), text), "user")

    async def _user(self, call: Call) -> UserRecord:
        return existing(await self._users.get(call.caller.tenant, self._user_path(call)), "user")

    async def categories(self, call: Call) -> Reply:
        """Return what a page of preferences shows of categories."""
        (after,), limit = page_of(call.query)
        found, more = await self._documents.page(call.caller.tenant, CATEGORY_KIND, after, limit)
        names = [_category_name(read_category(one.key.key, one.body)) for one in found]
        return page(names, cursor_of_keys([found[-1].key.key]) if more else None)

    def routes(self, base: str, owner: str, write: str, read: str) -> list[Route]:
        preferences, quiet, tag = f"{base}/preferences", f"{base}/quiet-hours", "preferences"
        return [
            Route("PUT", preferences, self.put_preferences, write, f"Replace {owner} preferences",
                  body=Preferences, reply=Preferences, tag=tag),
            Route("GET", preferences, self.preferences, read, f"Get {owner} preferences", reply=Preferences, tag=tag),
            Route("PUT", quiet, self.put_quiet_hours, write, f"Replace {owner} quiet hours",
                  body=QuietHours, reply=QuietHoursView, tag=tag),
            Route("GET", quiet, self.quiet_hours, read, f"Get {owner} quiet hours", reply=QuietHoursView, tag=tag),
            Route("DELETE", quiet, self.remove_quiet_hours, write, f"Remove {owner} quiet hours; the tenant's apply then",
                  status=204, tag=tag),
        ]  # fmt: skip


class _History:
    def __init__(self, control: Control) -> None:
        self._consents = control.consents

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        if after and not (after.isascii() and after.isdigit() and len(after) <= 18):
            raise not_a_cursor()
        before = int(after) if after else None
        found = existing(await self._consents.page(call.caller.tenant, call.path["id"], before, limit + 1), "user")
        return page_reply(found, limit, lambda consent: [str(consent.sequence)], _consent_view)


class CategoryName(msgspec.Struct, frozen=True):
    """What users read of a category, which they cannot switch off when it is critical."""

    key: str
    name: str | None
    critical: bool


def _category_name(category: Category) -> CategoryName:
    return CategoryName(category.key, category.rules.name or None, category.critical)


def _consent_view(consent: ConsentRecord) -> ConsentView:
    at, until = shown(consent.at_ms), shown(consent.until_ms)
    return ConsentView(at, consent.category, consent.channel, consent.allowed, until, consent.source)


def routes(control: Control) -> list[Route]:
    """Return the endpoints of this area."""
    own = _Choices(control, _oneself)
    return [
        *_Choices(control, _named).routes("/v1/users/{id}", "a user's", "preferences:write", "preferences:read"),
        *own.routes("/v1/me", "one's own", "own-preferences:write", "own-preferences:read"),
        Route("GET", "/v1/me/categories", own.categories, "own-preferences:read", "The names of categories, for a page of preferences",
              queries=PAGE_QUERIES, tag="preferences"),
        Route("GET", "/v1/users/{id}/consents", _History(control).page, "preferences:read",
              "List a user's consents, newest first", queries=PAGE_QUERIES, tag="preferences"),
    ]  # fmt: skip
