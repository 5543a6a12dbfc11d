"""What an in-app broadcast shows: rendered while it is planned, once for everyone or, if it reads the user, for each."""

from collections.abc import Iterable
from typing import Any

from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.decision import Reason
from clarion.domain.limits import FRAME_RECORDS_MAX
from clarion.plan.rules.chunks import Columns
from clarion.ports.renderer import Render, Renderer, RenderError


class InappContent:
    """Renders in-app parts for one process."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._renders: dict[tuple[str, str], tuple[dict[str, Any], Render]] = {}

    def of(
        self, tenant: str, template: Template, data: dict[str, Any], users: list[dict[str, Any]], part: Columns
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what everyone is shown, or what each one is; whose content cannot be rendered fails in `part`."""
        render = self._render(tenant, template)
        context = {**data, "data": data}
        if not users:
            shared = _rendered(render, {**context, "user": {}})
            if shared is None:
                part.fail(range(len(part.ordinals)), Reason.RENDER_FAILED)
            return shared or {}, []
        own = [_rendered(render, {**context, "user": user}) for user in users]
        part.fail(_missing(own), Reason.RENDER_FAILED)
        return {}, [content or {} for content in own]

    def _render(self, tenant: str, template: Template) -> Render:
        """Return the compiled in-app part. By content, not by version: a template that was removed and made anew counts
        its versions from 1 again."""
        place, source = (tenant, template.key), template.parts[Channel.INAPP]
        held = self._renders.get(place)
        if held is not None and held[0] == source:
            return held[1]
        if len(self._renders) >= FRAME_RECORDS_MAX:
            self._renders.clear()
        render: Render = self._renderer.compile(source, html=False)
        self._renders[place] = source, render
        return render


def _missing(contents: Iterable[dict[str, Any] | None]) -> Iterable[int]:
    return (index for index, content in enumerate(contents) if content is None)


def _rendered(render: Render, context: dict[str, Any]) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = render(context)
    except RenderError:
        return None
    return content
