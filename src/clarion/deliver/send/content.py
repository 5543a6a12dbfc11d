"""Compiled templates of this process, kept as long as their content stays the same."""

from collections.abc import Mapping
from typing import Any

from clarion.domain.address import single_line
from clarion.domain.channel import Channel
from clarion.domain.content import PARTS, Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits import COMPILED_TEMPLATES_MAX, RENDER_OUTPUT_BYTES_MAX
from clarion.ports.directory import Directory
from clarion.ports.renderer import Render, Renderer, RenderError


class Contents:
    """Finds and compiles the parts of (tenant, template, channel)."""

    def __init__(self, directory: Directory, renderer: Renderer) -> None:
        self._directory = directory
        self._renderer = renderer
        self._revision = -1
        self._templates: dict[tuple[str, str], Template | None] = {}
        self._compiled: dict[tuple[str, str, Channel], tuple[dict[str, Any], dict[str, Render]]] = {}

    def refresh(self) -> None:
        """Forget which versions are current if any definition changed; called once a batch."""
        revision = self._directory.revision()
        if revision != self._revision:
            self._revision = revision
            self._templates.clear()

    def render(self, tenant: str, key: str, channel: Channel, context: dict[str, Any]) -> dict[str, Any]:
        """Return the rendered parts. Raises `RenderError`."""
        place = (tenant, key)
        template = self._templates.get(place)
        if template is None:
            template = self._templates[place] = self._directory.template(tenant, key)
        if template is None or channel not in template.parts:
            raise RenderError(f"template {key} has no {channel} part")
        return {part: render(context) for part, render in self._renders(tenant, template, channel).items()}

    def _renders(self, tenant: str, template: Template, channel: Channel) -> dict[str, Render]:
        """Return the compiled parts. By content, not by version: a template that was removed and made anew counts its
        versions from 1 again."""
        place, source = (tenant, template.key, channel), template.parts[channel]
        held, renders = self._compiled.get(place, (None, {}))
        if held is source:
            return renders
        if held != source:
            renders = self._compile(template, channel)
        if len(self._compiled) >= COMPILED_TEMPLATES_MAX:
            self._compiled.clear()
        self._compiled[place] = source, renders
        return renders

    def _compile(self, template: Template, channel: Channel) -> dict[str, Render]:
        declared = PARTS[channel]
        renders = {}
        for part, source in template.parts[channel].items():
            render = self._renderer.compile(source, html=part in declared and declared[part].html)
            line = part in declared and declared[part].kind == "line"
            renders[part] = _one_line(render, f"{channel}.{part}") if line else render
        return renders


def _one_line(render: Render, part: str) -> Render:
    """Return the render function of what becomes a header: data must not bring further lines into it."""

    def checked(context: Mapping[str, Any]) -> str:
        try:
            return single_line(render(context), part, RENDER_OUTPUT_BYTES_MAX)
        except InvalidField as error:
            raise RenderError(f"{part} {error.detail}") from None

    return checked
