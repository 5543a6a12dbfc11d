"""Templates over HTTP. A template is built before it is stored, so one that cannot be rendered is never stored."""

from typing import Final

from clarion.control.templates import routes_translations, routes_versions
from clarion.control.templates.bodies import TemplateBody
from clarion.control.templates.editor import Editor, missing, source_of
from clarion.control.templates.shapes import TemplateView
from clarion.domain.address import key
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits_content import TEMPLATE_BYTES_MAX
from clarion.domain.template import TemplateVersion
from clarion.ports.control import Control
from clarion.ports.drafting import Drafting
from clarion.ports.schemas import Schemas
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, page_of, page_reply

_DRAFT: Final = "draft"
_PUBLISH: Final = Query(
    "publish", "Make it the current version (the default); false only saves a draft", kind="boolean"
)
_NOTE: Final = Query("note", "Why it was changed")
_VERSION: Final = Query("version", "The number of a version, or `draft`")


class _Handlers:
    def __init__(self, control: Control, editor: Editor) -> None:
        self._templates = control.templates
        self._editor = editor

    async def put(self, call: Call) -> Reply:
        name = key(call.path["key"], "key")
        source = await source_of(call.body, len(call.raw))
        caller, note = call.caller, routes_versions.note_of(call.query.get("note", ""))
        publish = _flag(call.query.get("publish", "true"), "publish")
        edited = await self._editor.save(caller.tenant, name, source, caller.key_id, publish=publish, note=note)
        return Reply(TemplateView.of(*edited))

    async def get(self, call: Call) -> Reply:
        return Reply(TemplateView.of(await self._wanted(call)))

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        tenant = call.caller.tenant
        found = await self._templates.page(tenant, after, limit)
        # Large templates make short pages, so only a further read shows whether there are more.
        more = await self._templates.page(tenant, found[-1].key, 1) if found else []
        return page_reply([*found, *more], len(found), lambda template: [template.key], TemplateView.of)

    async def remove(self, call: Call) -> Reply:
        if not await self._templates.remove(call.caller.tenant, call.path["key"]):
            raise NotFound("no such template")
        return Reply(status=204)

    async def _wanted(self, call: Call) -> TemplateVersion:
        tenant, name, asked = call.caller.tenant, call.path["key"], call.query.get("version")
        if asked is not None and asked != _DRAFT:
            number = routes_versions.number_of(asked, "version")
            found = await self._templates.version(tenant, name, number)
            if found is None:
                raise missing(number)
            return found
        found = None if asked == _DRAFT else await self._templates.current(tenant, name)
        found = found or await self._templates.version(tenant, name)
        if found is None:
            raise missing(None)
        if asked == _DRAFT and found.published_ms is not None:
            raise NotFound("there is no draft", field="version")
        return found


def routes(control: Control, drafting: Drafting, schemas: Schemas) -> list[Route]:
    """Return the endpoints of this area."""
    editor = Editor(control, drafting, schemas)
    do = _Handlers(control, editor)
    write, read, tag, one = "content:write", "content:read", "templates", "/v1/templates/{key}"
    return [
        Route("GET", "/v1/templates", do.page, read, "List templates", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Store a template as its next version", body=TemplateBody, reply=TemplateView,
              limit_bytes=TEMPLATE_BYTES_MAX, queries=(_PUBLISH, _NOTE), tag=tag),
        Route("GET", one, do.get, read, "Get a template: its current version, or its draft if it was never published",
              reply=TemplateView, queries=(_VERSION,), tag=tag),
        Route("DELETE", one, do.remove, write, "Remove a template with all its versions", status=204, tag=tag),
        *routes_versions.routes(control.templates, editor),
        *routes_translations.routes(control, editor),
    ]  # fmt: skip


def _flag(text: str, field: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidField("must be true or false", field=field)
    return text == "true"
