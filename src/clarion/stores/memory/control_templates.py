"""Templates with their versions in memory.

A version that was ever current has a `place`: publishing a version puts it after all other versions, and a rollback to
a version removes the places of those after it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from clarion.domain import template_name
from clarion.domain.content import Template
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.limits_content import TEMPLATE_VERSIONS_MAX, TEMPLATES_PAGE_BYTES_MAX, TEMPLATES_PER_TENANT_MAX
from clarion.domain.template import Source, TemplateVersion, VersionNote, whole_source
from clarion.ports.clock import Clock
from clarion.ports.control_definitions import DefinitionRecord
from clarion.stores.memory.control_content import MemoryDefinitions
from clarion.stores.memory.control_state import ControlState, StoredTemplate, StoredVersion, keys_after

_SOURCE: Final = msgspec.json.Decoder(Source)
_BUILT: Final = msgspec.json.Decoder(Template)
_ABSENT: Final = StoredTemplate()


class MemoryTemplates:
    """Implements `Templates` of `ports/control_content.py`."""

    def __init__(self, state: ControlState, clock: Clock, definitions: MemoryDefinitions) -> None:
        self._state = state
        self._clock = clock
        self._definitions = definitions

    async def put(self, tenant: str, template: Template) -> Template:
        """Store a template that was built elsewhere as the next version, publish it, and return it with that version
        number."""
        source = whole_source(template)
        stored = await self.save(tenant, template.key, source, template, "", publish=True)
        return stored.template

    async def save(
        self, tenant: str, key: str, source: Source, built: Template, by: str, *, publish: bool = False, note: str = ""
    ) -> TemplateVersion:
        """Store a draft, with `publish` also publish it, and return the version."""
        self._check_category(tenant, source.category)
        template = self._state.templates[tenant].get(key, StoredTemplate())
        draft = template.versions.get(template.newest)
        if draft is None or draft.published_ms is not None:
            self._check_bounds(tenant, template)
            template.newest += 1
        text = msgspec.json.encode(source).decode()
        stored = StoredVersion(
            template.newest, source.category, text, _text(key, template.newest, built, source), self._clock.now_ms(), by
        )
        template.versions[stored.version] = stored
        self._state.templates[tenant][key] = template
        if publish:
            self._publish(key, template, stored, built, by, note)
        self._state.changed(tenant)
        return _shown(key, template, stored)

    async def publish(
        self, tenant: str, key: str, version: int, built: Template, by: str, note: str, *, source: Source | None = None
    ) -> TemplateVersion:
        """Make a version the current one. Raises `NotFound` when it does not exist, and `Conflict` when its source is
        no longer `source`."""
        template = self._template(tenant, key)
        stored = template.versions.get(version)
        if stored is None:
            raise NotFound("no such version of this template", field="version")
        if source is not None and _SOURCE.decode(stored.source) != source:
            raise Conflict("the draft was changed meanwhile; read it again", code="draft_changed")
        self._check_category(tenant, stored.category)
        self._publish(key, template, stored, built, by, note)
        self._state.changed(tenant)
        return _shown(key, template, stored)

    async def rebuild(self, tenant: str, built: Mapping[tuple[str, int], Template]) -> None:
        """Replace the built templates of these (key, version) that are still current, in one transaction."""
        for (key, version), anew in built.items():
            template = self._template(tenant, key)
            if template.current == version:
                stored = template.versions[version]
                stored.built = _text(key, version, anew, _SOURCE.decode(stored.source))
                self._state.changed(tenant)

    async def share(
        self, tenant: str, kind: str, key: str, body: bytes, built: Mapping[tuple[str, int], Template]
    ) -> DefinitionRecord:
        """Store a definition that templates share and the templates rebuilt with it, in one transaction."""
        record = self._definitions.put_within(tenant, kind, key, body)
        await self.rebuild(tenant, built)
        return record

    async def get(self, tenant: str, key: str) -> Template | None:
        """Return the built current version, or for `key@3` that version; None when there is none."""
        name, version = template_name.split(key)
        template = self._template(tenant, name)
        stored = template.versions.get(template.current or 0 if version is None else version)
        return None if stored is None else _BUILT.decode(stored.built)

    async def version(self, tenant: str, key: str, version: int | None = None) -> TemplateVersion | None:
        """Return a version, or without a number the newest one; None when there is none."""
        template = self._template(tenant, key)
        return _found(key, template, template.newest if version is None else version)

    async def current(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the current version with its source, or None when there is none."""
        template = self._template(tenant, key)
        return _found(key, template, template.current)

    async def versions(self, tenant: str, key: str, before: int, limit: int) -> list[VersionNote]:
        """Return the versions below a number, newest first."""
        template = self._template(tenant, key)
        numbers = sorted((number for number in template.versions if number < before), reverse=True)[:limit]
        return [_noted(template, template.versions[number]) for number in numbers]

    async def previous(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the version that a rollback makes current, or None when there is none. Two rollbacks go two versions
        back, not back and forth."""
        template = self._template(tenant, key)
        places = sorted((stored.place, stored.version) for stored in template.versions.values() if stored.place)
        return _found(key, template, places[-2][1]) if len(places) > 1 else None

    async def page(self, tenant: str, after: str, limit: int) -> list[TemplateVersion]:
        """Return current versions (the draft for a template that was never published) in the order of their keys."""
        templates, page, room = self._state.templates[tenant], list[TemplateVersion](), TEMPLATES_PAGE_BYTES_MAX
        live = {key: template for key, template in templates.items() if template.versions}
        for key in keys_after(live, after, limit):
            stored = live[key].versions[live[key].current or live[key].newest]
            room -= len(stored.source) + len(stored.built)
            if page and room < 0:
                break
            page.append(_shown(key, live[key], stored))
        return page

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a template with all its versions; return whether there was one. Its newest version number stays, so
        that numbers are not used again."""
        template = self._template(tenant, key)
        if not template.versions:
            return False
        template.versions.clear()
        template.current = None
        self._state.changed(tenant)
        return True

    def _template(self, tenant: str, key: str) -> StoredTemplate:
        return self._state.templates[tenant].get(key, _ABSENT)

    def _publish(
        self, key: str, template: StoredTemplate, stored: StoredVersion, built: Template, by: str, note: str
    ) -> None:
        place = stored.place or 1 + max((one.place or 0 for one in template.versions.values()), default=0)
        for one in template.versions.values():
            if one.place is not None and one.place > place:
                one.place = None
        stored.place = place
        stored.built = _text(key, stored.version, built, _SOURCE.decode(stored.source))
        stored.published_ms, stored.published_by, stored.note = self._clock.now_ms(), by, note
        template.current = stored.version

    def _check_category(self, tenant: str, key: str | None) -> None:
        if key is not None and key not in self._state.categories[tenant]:
            raise InvalidField(f"no such category: {key}", field="category", code="unknown_category")

    def _check_bounds(self, tenant: str, template: StoredTemplate) -> None:
        live = sum(bool(one.versions) for one in self._state.templates[tenant].values())
        if not template.versions and live >= TEMPLATES_PER_TENANT_MAX:
            raise Conflict(f"a tenant has at most {TEMPLATES_PER_TENANT_MAX} templates")
        if len(template.versions) >= TEMPLATE_VERSIONS_MAX:
            raise Conflict(f"a template has at most {TEMPLATE_VERSIONS_MAX} versions; remove it to start again")


def _text(key: str, version: int, built: Template, source: Source) -> str:
    stored = msgspec.structs.replace(built, key=key, version=version, category=source.category)
    return msgspec.json.encode(stored).decode()


def _found(key: str, template: StoredTemplate, number: int | None) -> TemplateVersion | None:
    stored = template.versions.get(number or 0)
    return None if stored is None else _shown(key, template, stored)


def _shown(key: str, template: StoredTemplate, stored: StoredVersion) -> TemplateVersion:
    return TemplateVersion(
        key, stored.version, _SOURCE.decode(stored.source), _BUILT.decode(stored.built),
        stored.version == template.current, stored.created_ms, stored.created_by, stored.published_ms,
        stored.published_by, stored.note,
    )  # fmt: skip


def _noted(template: StoredTemplate, stored: StoredVersion) -> VersionNote:
    return VersionNote(
        stored.version, stored.version == template.current, stored.created_ms, stored.created_by, stored.published_ms,
        stored.published_by, stored.note,
    )  # fmt: skip
