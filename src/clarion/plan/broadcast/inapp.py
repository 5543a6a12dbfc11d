"""Content of an in-app broadcast: rendered during planning, once for all users or, if the template reads the user, once
per user."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from clarion.content.render import Rendering
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.decision import Reason
from clarion.plan.rules.chunks import Columns
from clarion.ports.renderer import RenderError


class Readers(NamedTuple):
    """The readers: users of a tenant with one locale; `at_ms` is when the broadcast was created."""

    tenant: str
    locale: str
    at_ms: int


def shown(
    rendering: Rendering,
    readers: Readers,
    template: Template,
    data: dict[str, Any],
    users: list[dict[str, Any]],
    part: Columns,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the content for all users, and none of their own, or an empty one and each user's own. Deliveries whose
    content cannot be rendered fail in `part`. The tenant's layouts and brand have to be gathered before."""
    if not users:
        shared = _rendered(rendering, readers, template, data, None)
        if shared is None:
            part.fail(range(len(part.ordinals)), Reason.RENDER_FAILED)
        return shared or {}, []
    own = [_rendered(rendering, readers, template, data, user) for user in users]
    part.fail(_missing(own), Reason.RENDER_FAILED)
    return {}, [content or {} for content in own]


def _rendered(
    rendering: Rendering, readers: Readers, template: Template, data: dict[str, Any], user: dict[str, Any] | None
) -> dict[str, Any] | None:
    tenant, locale, at_ms = readers
    try:
        return rendering.render_template(tenant, template, Channel.INAPP, data, user, locale, at_ms)
    except RenderError:
        return None


def _missing(contents: Iterable[dict[str, Any] | None]) -> Iterable[int]:
    return (index for index, content in enumerate(contents) if content is None)
