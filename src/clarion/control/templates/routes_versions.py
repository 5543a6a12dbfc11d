"""Versions of templates over HTTP: lists, differences between two, publishing and rolling back."""

import asyncio
from typing import Final

from clarion.control.templates.bodies import PublishBody
from clarion.control.templates.diff import changes
from clarion.control.templates.editor import Editor, missing, shown
from clarion.control.templates.reads import Templates
from clarion.control.templates.shapes import DiffView, TemplateView, VersionView
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import VERSION_NOTE_CHARS_MAX
from clarion.domain.permissions import PUBLISH_TEMPLATES
from clarion.domain.template import TemplateVersion
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import (
    PAGE_QUERIES,
    VERSION_DIGITS_MAX,
    is_version,
    not_a_cursor,
    page_of,
    page_reply,
    version_of,
)

_NEWEST: Final = 10**VERSION_DIGITS_MAX
_NOTHING: Final = PublishBody()
_SIDES: Final = (
    Query("from", "The number of a version, by default the current one", kind="integer"),
    Query("to", "The number of a version, by default the newest one", kind="integer"),
)


class _Handlers:
    def __init__(self, templates: Templates, editor: Editor) -> None:
        self._templates = templates
        self._editor = editor

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        if after and not is_version(after):
            raise not_a_cursor()
        before = int(after) if after else _NEWEST
        tenant, name = call.caller.tenant, call.path["key"]
        found = await self._templates.versions(tenant, name, before, limit + 1)
        if not found and await self._templates.version(tenant, name) is None:
            raise missing(None)
        return page_reply(found, limit, lambda one: [str(one.version)], VersionView.of)

    async def get(self, call: Call) -> Reply:
        text = call.path["version"]
        number = int(text) if is_version(text) else 0
        return Reply(TemplateView.of(await self._one(call, number)))

    async def diff(self, call: Call) -> Reply:
        tenant, name = call.caller.tenant, call.path["key"]
        before, after = (version_of(call.query, side.name) for side in _SIDES)
        new = await self._one(call, after)
        old = await (self._templates.current(tenant, name) if before is None else self._one(call, before))
        if old is None:
            raise InvalidField("is needed, as no version is current", field="from")
        found = await asyncio.to_thread(changes, old.source, new.source)  # comparing very different texts is slow
        return Reply(DiffView(name, old.version, new.version, found))

    async def publish(self, call: Call) -> Reply:
        body = call.body or _NOTHING
        return shown(await self._editor.publish(call, call.path["key"], body.version, body.note))

    async def roll_back(self, call: Call) -> Reply:
        body = call.body or _NOTHING
        return shown(await self._editor.roll_back(call, call.path["key"], body.version, body.note))

    async def _one(self, call: Call, number: int | None) -> TemplateVersion:
        found = await self._templates.version(call.caller.tenant, call.path["key"], number)
        if found is None:
            raise missing(number)
        return found


def routes(templates: Templates, editor: Editor) -> list[Route]:
    """Return the endpoints of versions."""
    do = _Handlers(templates, editor)
    publish, read, tag, one = PUBLISH_TEMPLATES, "templates:read", "templates", "/v1/templates/{key}"
    return [
        Route("GET", f"{one}/versions", do.page, read, "List versions of a template, the newest first",
              queries=PAGE_QUERIES, tag=tag),
        Route("GET", f"{one}/versions/{{version}}", do.get, read, "Get a version of a template", reply=TemplateView,
              tag=tag),
        Route("GET", f"{one}/diff", do.diff, read, "Compare two versions", reply=DiffView,
              queries=_SIDES, tag=tag),
        Route("POST", f"{one}/publish", do.publish, publish, "Make a version the current one, by default the newest",
              body=PublishBody, optional=True, reply=TemplateView, tag=tag, versioned=True),
        Route("POST", f"{one}/rollback", do.roll_back, publish,
              "Roll back to a published version, by default the previous one", body=PublishBody, optional=True,
              reply=TemplateView, tag=tag, versioned=True),
    ]  # fmt: skip


def note_of(text: str) -> str:
    """Return a note of a query. Raises `InvalidField` when it is too long."""
    if len(text) > VERSION_NOTE_CHARS_MAX:
        raise InvalidField(f"is longer than {VERSION_NOTE_CHARS_MAX} characters", field="note")
    return text
