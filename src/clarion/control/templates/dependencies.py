"""The dependencies of a template: its layout, and the partials that it, its layout or those partials name. Pure: documents that
are not known yet are named, so that they are gathered."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from clarion.content.partials import references
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import PARTIAL_DEPTH_MAX
from clarion.domain.template import Engine, Layout, Partial, Source, Translation
from clarion.ports.documents import DocumentKey
from clarion.ports.drafting import BuildJob
from clarion.resources.declaration import Facts

_LAYOUT = msgspec.json.Decoder(Layout)
_PARTIAL = msgspec.json.Decoder(Partial)
Shared = Mapping[tuple[str, str], Layout | Partial]
"""Layouts and partials by kind and key, in the place of those stored."""


class Dependencies(NamedTuple):
    """The layouts and partials that a source depends on, as far as they are known, by kind and key; and the job that builds it
    once all of them are gathered. Partials that do not exist are left out of it: the build reports where they are named."""

    names: frozenset[tuple[str, str]]
    job: BuildJob | None


def dependencies(key: str, source: Source, facts: Facts, changed: Shared | None = None) -> Dependencies:
    """Return the dependencies of a source. A layout that does not exist is named, and there is no job."""
    looking = _Looking(facts, changed or {})
    layout = None
    if source.layout is not None:
        layout = looking.find(Layout.KIND, source.layout, _LAYOUT)
        if layout is None:
            return Dependencies(frozenset(looking.names), None)
    texts = [source.channels, source.text, *_translated(source.locales)]
    named = named_in(texts, source.engine) | (_texts_of(layout, source.engine) if layout is not None else set())
    partials = looking.partials(named)
    if not looking.is_complete:
        return Dependencies(frozenset(looking.names), None)
    return Dependencies(frozenset(looking.names), BuildJob(key, source, layout, partials, facts.target.tenant))


def check_layout_known(source: Source, facts: Facts) -> None:
    """Raise `InvalidField` when the layout of a source does not exist."""
    if source.layout is not None and facts.find(Layout.KIND, source.layout) is None:
        raise InvalidField(f"no such layout: {source.layout}", field="layout", code="unknown_layout")


def keys_of(facts: Facts, names: frozenset[tuple[str, str]]) -> frozenset[DocumentKey]:
    """Return the keys of documents of the target's tenant."""
    return frozenset(DocumentKey(facts.target.tenant, *name) for name in names)


def refers_of(source: Source) -> frozenset[tuple[str, str]]:
    """Return what a source refers to directly, by kind and key."""
    texts = [source.channels, source.text, *_translated(source.locales)]
    found = {(Partial.KIND, name) for name in named_in(texts, source.engine)}
    return frozenset(found | ({(Layout.KIND, source.layout)} if source.layout is not None else set()))


def refers_of_shared(value: Layout | Partial) -> frozenset[tuple[str, str]]:
    """Return the partials that a layout or partial names, by kind and key."""
    named = named_in([value.source], value.engine) if isinstance(value, Partial) else _texts_of(value, value.engine)
    return frozenset((Partial.KIND, name) for name in named)


def named_in(texts: list[Any], engine: Engine) -> set[str]:
    """Return the partials named in texts. It takes long: a template of 1 MiB may hold half a million tags."""
    return {name for text in texts for name in _named(text, engine)}


class _Looking:
    def __init__(self, facts: Facts, changed: Shared) -> None:
        self._facts = facts
        self._changed = changed
        self.names: set[tuple[str, str]] = set()
        self.is_complete = True

    def find(self, kind: str, key: str, decoder: msgspec.json.Decoder[Any]) -> Any:
        """Return a layout or partial, None when it does not exist or is not known yet."""
        if (kind, key) in self._changed:
            return self._changed[kind, key]
        self.names.add((kind, key))
        self.is_complete &= DocumentKey(self._facts.target.tenant, kind, key) in self._facts.documents
        found = self._facts.find(kind, key)
        return None if found is None else decoder.decode(found.body)

    def partials(self, wanted: set[str]) -> dict[str, Partial]:
        found: dict[str, Partial] = {}
        for _ in range(PARTIAL_DEPTH_MAX + 1):  # deeper nesting is refused by the build
            below: set[str] = set()
            for name in sorted(wanted):
                partial = self.find(Partial.KIND, name, _PARTIAL)
                if partial is not None:
                    found[name] = partial
                    below |= named_in([partial.source], partial.engine)
            wanted = below - found.keys()
        return found


def _texts_of(layout: Layout, engine: Engine) -> set[str]:
    return named_in([layout.mjml, layout.html, layout.text, *_translated(layout.locales)], engine)


def _translated(locales: dict[str, Translation]) -> Iterator[Any]:
    for one in locales.values():
        yield one.channels
        yield one.messages


def _named(text: Any, engine: Engine) -> list[str]:
    try:
        return references(text, engine)
    except InvalidField:
        return []  # a malformed tag; the build reports where
