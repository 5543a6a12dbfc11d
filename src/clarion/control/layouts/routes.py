"""Layouts and partials over HTTP."""

import asyncio
from datetime import datetime

import msgspec

from clarion.content.email_layout import places
from clarion.content.messages import used_keys
from clarion.content.partials import references
from clarion.control.defined import Reading, view
from clarion.control.layouts.rebuilding import Rebuilding, TenantDefinitions
from clarion.control.layouts.rules import PROBE, blame_source, check_layout, check_places, layout_probe, partial_probe
from clarion.control.templates.bodies import TranslationBody
from clarion.control.templates.dependencies import dependencies_in
from clarion.domain.address import key
from clarion.domain.errors import Conflict, InvalidField
from clarion.domain.limits import PAGE_ITEMS_MAX
from clarion.domain.limits_content import TEMPLATE_BYTES_MAX
from clarion.domain.template import Engine, Layout, Partial, Source
from clarion.ports.control import Control
from clarion.ports.drafting import Drafting
from clarion.ports.web import Call, Reply, Route

_JSON = msgspec.json.Encoder()
_LAYOUT = msgspec.json.Decoder(Layout)
_PARTIAL = msgspec.json.Decoder(Partial)


class LayoutBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frame around e-mails: `mjml` or `html`, and `text`, each with `{{ content }}` once, in the place of the e-mail.
    It has messages by locale, as templates have."""

    mjml: str | None = None
    html: str | None = None
    text: str = "{{ content }}"
    engine: Engine = "liquid"
    locale: str = "en"
    locales: dict[str, TranslationBody] = {}


class LayoutView(msgspec.Struct, frozen=True):
    """A layout in the API's responses."""

    key: str
    version: int
    created_at: datetime
    updated_at: datetime
    text: str = "{{ content }}"
    mjml: str | None = None
    html: str | None = None
    engine: Engine = "liquid"
    locale: str = "en"
    locales: dict[str, TranslationBody] = {}


class PartialView(msgspec.Struct, frozen=True):
    """A partial in the API's responses."""

    key: str
    version: int
    created_at: datetime
    updated_at: datetime
    source: str
    engine: Engine = "liquid"


class _Shared(Reading):
    """Handlers of one kind; a definition in use cannot be removed."""

    def __init__(self, control: Control, drafting: Drafting, kind: str) -> None:
        super().__init__(control.definitions, kind, kind)
        self._rebuilding = Rebuilding(control, drafting, kind)
        self._drafting = drafting

    async def remove(self, call: Call) -> Reply:
        """Remove a definition. Raises `Conflict` while a template uses it."""
        await self.record(call.caller.tenant, call.path["key"])
        await self._rebuilding.check_unused(call.caller.tenant, call.path["key"])
        return await super().remove(call)

    async def _stored(self, tenant: str, name: str, probe: Source, body: bytes, prefix: str, fallback: str) -> Reply:
        """Store a definition after a probe template was built with it."""
        tried = PROBE if probe.layout else name
        try:
            changed = TenantDefinitions(self._definitions, self._kind, tried, body)
            await self._drafting.build(await dependencies_in(changed, tenant, PROBE, probe))
        except InvalidField as error:
            raise blame_source(error, prefix, fallback) from error
        return Reply(view(await self._rebuilding.change(tenant, name, body)))


class _Layouts(_Shared):
    async def put(self, call: Call) -> Reply:
        name, body = key(call.path["key"], "key"), call.body
        layout, parts = await asyncio.to_thread(_checked_layout, body)
        fallback = next(iter(parts))
        probe = layout_probe(layout)
        return await self._stored(call.caller.tenant, name, probe, _JSON.encode(layout), "layout.", fallback)


class _Partials(_Shared):
    async def put(self, call: Call) -> Reply:
        name, partial = key(call.path["key"], "key"), call.body
        try:
            probe = partial_probe(name, partial, await asyncio.to_thread(used_keys, [partial.source], partial.engine))
        except InvalidField as error:
            raise InvalidField(error.detail, field="source", code=error.code) from None
        return await self._stored(call.caller.tenant, name, probe, _JSON.encode(partial), f"partials.{name}", "source")

    async def remove(self, call: Call) -> Reply:
        """Remove a partial. Raises `Conflict` while a template, a layout or another partial uses it."""
        await self.record(call.caller.tenant, call.path["key"])
        for kind in (Layout.KIND, Partial.KIND):
            await self._check_unnamed(call.caller.tenant, kind, call.path["key"])
        return await super().remove(call)

    async def _check_unnamed(self, tenant: str, kind: str, name: str) -> None:
        after = ""
        while page := await self._definitions.page(tenant, kind, after, PAGE_ITEMS_MAX):
            after = page[-1].key
            for record in page:
                if name in await asyncio.to_thread(_named, kind, record.body):
                    raise Conflict(f"{kind} {record.key} uses it", code="in_use")


def _checked_layout(body: LayoutBody) -> tuple[Layout, dict[str, str]]:
    """Return a layout and its parts by name. Raises `InvalidField` naming the first invalid field."""
    layout = check_layout(body.mjml, body.html, body.text, body.engine, body.locale, body.locales)
    given = {"mjml": layout.mjml, "html": layout.html, "text": layout.text}
    parts = {part: text for part, text in given.items() if text is not None}
    check_places({part: places(text, layout.engine) for part, text in parts.items()})
    return layout, parts


def _named(kind: str, body: bytes) -> list[str]:
    """Return the partials that a stored layout or partial inserts."""
    if kind == Partial.KIND:
        partial = _PARTIAL.decode(body)
        return references(partial.source, partial.engine)
    layout = _LAYOUT.decode(body)
    return references([layout.mjml, layout.html, layout.text], layout.engine)


def routes(control: Control, drafting: Drafting) -> list[Route]:
    """Return the endpoints of this area."""
    layouts, partials = _Layouts(control, drafting, Layout.KIND), _Partials(control, drafting, Partial.KIND)
    write, read = "content:write", "content:read"
    return [
        Route("PUT", "/v1/layouts/{key}", layouts.put, write, "Store a layout, and build it into the templates that use it",
              body=LayoutBody, reply=LayoutView, limit_bytes=TEMPLATE_BYTES_MAX, tag="layouts"),
        *layouts.routes("/v1/layouts", LayoutView, read, write),
        Route("PUT", "/v1/partials/{key}", partials.put, write,
              "Store a partial, and build it into the templates that use it",
              body=Partial, reply=PartialView, limit_bytes=TEMPLATE_BYTES_MAX, tag="partials"),
        *partials.routes("/v1/partials", PartialView, read, write),
    ]  # fmt: skip
