"""Building and previewing templates that are not trusted."""

from typing import Any, Protocol

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.template import Brand, Layout, Partial, Source


class BuildJob(msgspec.Struct, frozen=True):
    """A source to build with everything it includes. `layout` is the one it names, if any; `tenant` is the one whose
    turn the job uses."""

    key: str
    source: Source
    layout: Layout | None = None
    partials: dict[str, Partial] = {}
    tenant: str = ""


class RenderJob(msgspec.Struct, frozen=True):
    """A built template to render on some channels, for a user (as templates read it, with `locale` and `zone`)."""

    template: Template
    channels: tuple[Channel, ...]
    data: dict[str, Any]
    user: dict[str, Any]
    locale: str
    zone: str
    at_ms: int
    brand: Brand = Brand()
    tenant_locale: str = ""
    tenant: str = ""


class Rendered(msgspec.Struct, frozen=True):
    """Rendered parts by channel, and the reason of each channel that failed. `locale` is the one of the content."""

    locale: str
    parts: dict[Channel, dict[str, Any]]
    errors: dict[Channel, str] = {}


class Drafting(Protocol):
    """Builds and renders drafts. A hostile draft makes only its own call fail."""

    async def build(self, job: BuildJob) -> Template:
        """Return the template built from a source (version 0). Raises `InvalidField` with the path of the part, line
        and column."""
        ...

    async def render(self, job: RenderJob) -> Rendered:
        """Return the rendered parts. Too much time or memory is an error of the channel, or of all channels."""
        ...

    async def close(self) -> None:
        """Release all resources. No call may be running."""
        ...
