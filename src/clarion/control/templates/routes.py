"""Templates over HTTP. A template is compiled before it is stored, so none that cannot be rendered is ever kept."""

from typing import Annotated, Any

import msgspec

from clarion.control.paging import page_of, page_reply
from clarion.control.templates.rules import Content, check_content, parts_of
from clarion.domain.address import key
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits import KEY_CHARS_MAX, TEMPLATE_BYTES_MAX
from clarion.ports.control_content import Templates
from clarion.ports.pages import PAGE_QUERIES
from clarion.ports.renderer import Renderer, SyntaxProblem, Usage
from clarion.ports.web import Call, Reply, Route


class TemplateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content per channel: part names to Liquid source."""

    channels: dict[str, dict[str, Any]]
    category: Annotated[str, msgspec.Meta(max_length=KEY_CHARS_MAX)] | None = None


class TemplateView(msgspec.Struct, frozen=True):
    """A template as the API shows it. `variables` are the names a request has to bring under `data`."""

    key: str
    version: int
    category: str | None
    channels: dict[str, dict[str, Any]]
    variables: tuple[str, ...]


def compile_content(content: Content, renderer: Renderer) -> Usage:
    """Return what the parts read. Raises `InvalidField` naming part, line and problem of the first that fails."""
    variables: dict[str, None] = {}
    uses_user = False
    for field, part, source in parts_of(content):
        try:
            renderer.compile(source, html=part.html)
            usage = renderer.usage(source)
        except SyntaxProblem as error:
            place = f"line {error.line}: " if error.line else ""
            raise InvalidField(f"{place}{error.detail}", field=field, code="template_syntax") from error
        variables.update(dict.fromkeys(usage.variables))
        uses_user = uses_user or usage.uses_user
    return Usage(tuple(variables), uses_user)


class _Handlers:
    def __init__(self, templates: Templates, renderer: Renderer) -> None:
        self._templates = templates
        self._renderer = renderer

    async def put(self, call: Call) -> Reply:
        if len(call.raw) > TEMPLATE_BYTES_MAX:
            raise InvalidField(f"is longer than {TEMPLATE_BYTES_MAX} bytes", field="channels")
        name, content = key(call.path["key"], "key"), check_content(call.body.channels)
        usage = compile_content(content, self._renderer)
        template = Template(name, 0, call.body.category, content, usage.variables, usage.uses_user)
        return Reply(_view(await self._templates.put(call.caller.tenant, template)))

    async def get(self, call: Call) -> Reply:
        template = await self._templates.get(call.caller.tenant, call.path["key"])
        if template is None:
            raise NotFound("no such template")
        return Reply(_view(template))

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        templates = await self._templates.page(call.caller.tenant, after, limit + 1)
        return page_reply(templates, limit, lambda template: [template.key], _view)

    async def remove(self, call: Call) -> Reply:
        if not await self._templates.remove(call.caller.tenant, call.path["key"]):
            raise NotFound("no such template")
        return Reply(status=204)


def _view(template: Template) -> TemplateView:
    channels = {str(channel): parts for channel, parts in template.parts.items()}
    return TemplateView(template.key, template.version, template.category, channels, template.variables)


def routes(templates: Templates, renderer: Renderer) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(templates, renderer)
    write, read, tag, one = "content:write", "content:read", "templates", "/v1/templates/{key}"
    return [
        Route("GET", "/v1/templates", do.page, read, "List templates", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Store a template as its next version",
              body=TemplateBody, reply=TemplateView, tag=tag),
        Route("GET", one, do.get, read, "Get a template", reply=TemplateView, tag=tag),
        Route("DELETE", one, do.remove, write, "Remove a template", status=204, tag=tag),
    ]  # fmt: skip
