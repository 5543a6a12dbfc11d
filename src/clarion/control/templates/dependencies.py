"""The dependencies of a template: its layout, and the partials that it, its layout or those partials name."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from clarion.content.partials import references
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import PARTIAL_DEPTH_MAX
from clarion.domain.template import Engine, Layout, Partial, Source, Translation
from clarion.ports.control import Control
from clarion.ports.control_definitions import DefinitionRecord
from clarion.ports.drafting import BuildJob

_LAYOUT = msgspec.json.Decoder(Layout)
_PARTIAL = msgspec.json.Decoder(Partial)


class Lookup(Protocol):
    """The part of `Definitions` that a build reads."""

    async def get(self, tenant: str, kind: str, key: str) -> DefinitionRecord | None:
        """Return the newest version of a definition."""
        ...


async def dependencies(control: Control, tenant: str, key: str, source: Source) -> BuildJob:
    """Return the build job of a source. Partials that do not exist are left out: the build reports where they are
    named. Raises `InvalidField` when the layout does not exist."""
    return await dependencies_in(control.definitions, tenant, key, source)


async def dependencies_in(definitions: Lookup, tenant: str, key: str, source: Source) -> BuildJob:
    """Return the build job with the given definitions, some of which may be changed. Raises `InvalidField`."""
    layout = await _layout(definitions, tenant, source.layout)
    texts = [source.channels, source.text, *_translated(source.locales)]
    if layout is not None:
        texts += [layout.mjml, layout.html, layout.text, *_translated(layout.locales)]
    named = await asyncio.to_thread(_named_in, texts, source.engine)
    return BuildJob(key, source, layout, await _partials(definitions, tenant, named), tenant)


async def _layout(definitions: Lookup, tenant: str, key: str | None) -> Layout | None:
    if key is None:
        return None
    record = await definitions.get(tenant, Layout.KIND, key)
    if record is None:
        raise InvalidField(f"no such layout: {key}", field="layout", code="unknown_layout")
    return _LAYOUT.decode(record.body)


async def _partials(definitions: Lookup, tenant: str, named: set[str]) -> dict[str, Partial]:
    found: dict[str, Partial] = {}
    wanted = named
    for _ in range(PARTIAL_DEPTH_MAX + 1):  # deeper nesting is refused by the build
        below: set[str] = set()
        for name in sorted(wanted):
            record = await definitions.get(tenant, Partial.KIND, name)
            if record is not None:
                partial = found[name] = _PARTIAL.decode(record.body)
                below |= await asyncio.to_thread(_named_in, [partial.source], partial.engine)
        wanted = below - found.keys()
    return found


def _translated(locales: dict[str, Translation]) -> Iterator[Any]:
    for one in locales.values():
        yield one.channels
        yield one.messages


def _named_in(texts: Sequence[Any], engine: Engine) -> set[str]:
    # In a thread: a template of 1 MiB may hold half a million tags.
    return {name for text in texts for name in _named(text, engine)}


def _named(text: Any, engine: Engine) -> list[str]:
    try:
        return references(text, engine)
    except InvalidField:
        return []  # a malformed tag; the build reports where
