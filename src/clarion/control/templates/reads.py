"""Reads of templates: versions with their sources and what was built of them."""

from collections.abc import Collection, Container
from typing import Final, NamedTuple

import msgspec

from clarion.control.templates.actions import head_of, source_of
from clarion.domain import template_name
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.limits_content import TEMPLATES_PAGE_BYTES_MAX
from clarion.domain.template import TemplateVersion, VersionNote
from clarion.domain.template_head import SOURCE_KIND, TemplateHead, source_key
from clarion.ports.documents import Document, DocumentKey, Documents
from clarion.resources.reads import find

_BUILT: Final = msgspec.json.Decoder(Template)
_READ_AT_ONCE: Final = 8
"""Sources read in one call for a page: each may be large."""


class TemplatePage(NamedTuple):
    """Templates in the order of their keys, and whether there are more."""

    templates: list[TemplateVersion]
    more: bool


class Templates:
    """The templates of all tenants."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def get(self, tenant: str, name: str) -> Template | None:
        """Return the current version as it is sent, None when there is none or only a draft; for `key@3` that version."""
        key, version = template_name.split(name)
        place = _built_place(tenant, key if version is None else source_key(key, version))
        found = (await self._documents.artifacts([place])).get(place)
        return None if found is None else _BUILT.decode(found)

    async def head(self, tenant: str, key: str) -> tuple[TemplateHead, Document | None]:
        """Return the versions of a template without their content, and their document; none when it does not exist."""
        found = await find(self._documents, tenant, TemplateHead.KIND, key)
        return head_of(found), found

    async def version(self, tenant: str, key: str, version: int | None = None) -> TemplateVersion | None:
        """Return a version, or the newest one."""
        head, _ = await self.head(tenant, key)
        return await self.of_head(tenant, key, head, head.newest if version is None else version)

    async def current(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the current version with its source."""
        head, _ = await self.head(tenant, key)
        return None if head.current is None else await self.of_head(tenant, key, head, head.current)

    async def versions(self, tenant: str, key: str, before: int, limit: int) -> list[VersionNote]:
        """Return versions below a number, the newest first."""
        head, _ = await self.head(tenant, key)
        return [note for note in head.notes() if note.version < before][:limit]

    async def page(self, tenant: str, after: str, limit: int) -> TemplatePage:
        """Return current versions (the draft of a template that was never published); fewer than `limit`, but at least one,
        when they are larger than `TEMPLATES_PAGE_BYTES_MAX` together."""
        documents, more = await self._documents.page(tenant, TemplateHead.KIND, after, limit)
        found: list[TemplateVersion] = []
        size = 0
        for start in range(0, len(documents), _READ_AT_ONCE):
            group = documents[start : start + _READ_AT_ONCE]
            places = [_source_place(one.key, head_of(one).shown) for one in group]
            sources = await self._documents.read(places)
            built = await self._documents.artifacts([_built_place(tenant, place.key) for place in places])
            for document, place in zip(group, places, strict=True):
                artifact = built.get(_built_place(tenant, place.key))
                if place not in sources or artifact is None:
                    continue  # removed since the page was read
                size += len(sources[place].body) + len(artifact)
                if found and size > TEMPLATES_PAGE_BYTES_MAX:
                    return TemplatePage(found, more=True)
                found.append(_version(document.key.key, head_of(document), sources[place], artifact))
        return TemplatePage(found, more)

    async def of_head(self, tenant: str, key: str, head: TemplateHead, number: int) -> TemplateVersion | None:
        """Return a version of a template whose head is known, None when it does not exist."""
        if head.find(number) is None:
            return None
        place = _built_place(tenant, source_key(key, number))
        source = await find(self._documents, tenant, SOURCE_KIND, place.key)
        built = (await self._documents.artifacts([place])).get(place)
        return None if source is None or built is None else _version(key, head, source, built)


async def channels_of(templates: Templates, tenant: str, names: Collection[str]) -> dict[str, Container[Channel]]:
    """Return the channels that templates have content for, of those that can be sent."""
    found = {name: await templates.get(tenant, name) for name in names}
    return {name: template.parts for name, template in found.items() if template is not None}


def shown_version(key: str, head: TemplateHead, number: int, source: bytes, built: bytes) -> TemplateVersion:
    """Return a version of its stored parts."""
    place = DocumentKey("", SOURCE_KIND, source_key(key, number))
    return _version(key, head, Document(place, 0, source, 0, 0), built)


def _version(key: str, head: TemplateHead, source: Document, built: bytes) -> TemplateVersion:
    template = _BUILT.decode(built)
    one = head.get(int(source.key.key.rpartition("@")[2]))
    return TemplateVersion(
        key, one.version, source_of(source), template, one.version == head.current, one.created_ms, one.created_by,
        one.published_ms, one.published_by, one.note,
    )  # fmt: skip


def _source_place(head: DocumentKey, number: int) -> DocumentKey:
    return DocumentKey(head.tenant, SOURCE_KIND, source_key(head.key, number))


def _built_place(tenant: str, name: str) -> DocumentKey:
    return DocumentKey(tenant, TemplateHead.KIND, name)
