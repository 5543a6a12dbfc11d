"""Templates over HTTP. A template is built before it is stored, so one that cannot be rendered is never stored."""

from collections.abc import Mapping
from typing import Final

from clarion.control.templates import routes_translations, routes_versions
from clarion.control.templates.bodies import TemplateBody
from clarion.control.templates.editor import Editor, missing, read_source, shown
from clarion.control.templates.reads import Templates
from clarion.control.templates.shapes import TemplateView
from clarion.domain.address import key
from clarion.domain.errors import NotFound
from clarion.domain.limits_content import TEMPLATE_BYTES_MAX
from clarion.domain.permissions import PUBLISH_TEMPLATES
from clarion.domain.template_head import TemplateHead
from clarion.ports.documents import Documents
from clarion.ports.schemas import Schemas
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.changing import Changing
from clarion.resources.etags import etag
from clarion.resources.pages import PAGE_QUERIES, cursor_of_keys, flag_of, page, page_of, version_of

_DRAFT: Final = "draft"
_PUBLISH: Final = Query(
    "publish", "Make it the current version (the default); false only saves a draft", kind="boolean"
)
_NOTE: Final = Query("note", "Why it was changed")
_VERSION: Final = Query("version", "The number of a version, or `draft`")


_ABOUT: Final = "The source is built and checked before it is stored. A draft is replaced until it is published."
_EXAMPLE: Final = TemplateBody({"sms": {"body": "Your code is {{ code }}."}})


class _Handlers:
    def __init__(self, templates: Templates, editor: Editor) -> None:
        self._templates = templates
        self._editor = editor

    async def put(self, call: Call) -> Reply:
        name = key(call.path["key"], "key")
        source = await read_source(call.body, len(call.raw))
        note = routes_versions.note_of(call.query.get("note", ""))
        publish = flag_of(call.query, "publish", default=True)
        if publish:
            call.caller.require(PUBLISH_TEMPLATES, "publish")
        return shown(await self._editor.save(call, name, source, publish=publish, note=note))

    async def get(self, call: Call) -> Reply:
        tenant, name = call.caller.tenant, call.path["key"]
        head, document = await self._templates.head(tenant, name)
        number = _number(call.query, head)
        found = await self._templates.of_head(tenant, name, head, number)
        if found is None or document is None:
            raise missing(number if document is not None else None)
        return Reply(TemplateView.of(found), headers=etag(document.version))

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        found, more = await self._templates.page(call.caller.tenant, after, limit)
        return page(list(map(TemplateView.of, found)), cursor_of_keys([found[-1].key]) if more else None)

    async def remove(self, call: Call) -> Reply:
        await self._editor.remove(call, call.path["key"])
        return Reply(status=204)


def _number(query: Mapping[str, str], head: TemplateHead) -> int:
    """Return the number of the version that a query asks for. Raises `InvalidField`, and `NotFound` when it asks for a draft and
    there is none."""
    if query.get("version") != _DRAFT:
        number = version_of(query, "version")
        return head.shown if number is None else number
    newest = head.find(head.newest)
    if newest is not None and newest.published_ms is not None:
        raise NotFound("there is no draft", field="version")
    return head.newest


def routes(documents: Documents, changing: Changing, schemas: Schemas) -> list[Route]:
    """Return the endpoints of this area."""
    templates = Templates(documents)
    editor = Editor(templates, changing, schemas)
    do = _Handlers(templates, editor)
    write, read, tag, one = "templates:write", "templates:read", "templates", "/v1/templates/{key}"
    return [
        Route("GET", "/v1/templates", do.page, read, "List templates", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Store a template as its next version", body=TemplateBody, reply=TemplateView,
              limit_bytes=TEMPLATE_BYTES_MAX, queries=(_PUBLISH, _NOTE), tag=tag, versioned=True,
              description=_ABOUT, example=_EXAMPLE),
        Route("GET", one, do.get, read, "Get a template: its current version, or its draft if it was never published",
              reply=TemplateView, queries=(_VERSION,), tag=tag, versioned=True),
        Route("DELETE", one, do.remove, write, "Remove a template with all its versions", status=204, tag=tag,
              versioned=True),
        *routes_versions.routes(templates, editor),
        *routes_translations.routes(templates, documents, editor),
    ]  # fmt: skip
