"""Work on templates that nobody has vetted: building and previewing them, wherever that is done."""

from typing import Any, Protocol

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.template import Brand, Layout, Partial, Source


class BuildJob(msgspec.Struct, frozen=True):
    """A source and everything it is put together from. `layout` is the one it names, if it does; `tenant` is whose turn
    it takes."""

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
    """Rendered parts by channel, and of what failed the reason. `locale` is the one the content is in."""

    locale: str
    parts: dict[Channel, dict[str, Any]]
    errors: dict[Channel, str] = {}


class Drafting(Protocol):
    """Builds and renders drafts. However hostile they are, only this call fails."""

    async def build(self, job: BuildJob) -> Template:
        """Return what is sent of a source (version 0). Raises `InvalidField` with the path of the part, line and column."""
        ...

    async def render(self, job: RenderJob) -> Rendered:
        """Return the rendered parts. What takes too long or too much memory is an error of its channel, or of all."""
        ...

    async def close(self) -> None:
        """Let go of what it works with. Nothing may be under way."""
        ...
