"""Templates with their versions on PostgreSQL.

A version that was ever current has a `place`: publishing a version puts it after all other versions, and a rollback to
a version removes the places of those after it. The last place is the current version's; a rollback leads to the one
before. `builds` counts how often a version was built, so that readers detect any change by two numbers.
"""

from collections.abc import Mapping
from typing import Final

from clarion.domain import template_name
from clarion.domain.content import Template
from clarion.domain.errors import Conflict
from clarion.domain.limits_content import TEMPLATES_PAGE_BYTES_MAX
from clarion.domain.template import Source, TemplateVersion, VersionNote, whole_source
from clarion.ports.clock import Clock
from clarion.ports.control_definitions import DefinitionRecord
from clarion.stores.postgres.control_definitions import PostgresDefinitions
from clarion.stores.postgres.control_run import Runner, Transaction
from clarion.stores.postgres.control_template_writes import (
    NOTED,
    SELECT,
    VERSION,
    TemplateWriting,
    read_built,
    read_version,
)

_JOINED: Final = (
    "FROM template_versions v JOIN templates t ON t.tenant = v.tenant AND t.key = v.key WHERE v.tenant = $1"
)
_GET: Final = f"SELECT v.built {_JOINED} AND v.key = $2 AND v.version = coalesce($3, t.current)"
_NEWEST: Final = f"{SELECT} AND v.key = $2 AND v.version = t.newest"
_CURRENT: Final = f"{SELECT} AND v.key = $2 AND v.version = t.current"
_VERSIONS: Final = f"SELECT {NOTED} {_JOINED} AND v.key = $2 AND v.version < $3 ORDER BY v.version DESC LIMIT $4"
_PREVIOUS: Final = f"{SELECT} AND v.key = $2 AND v.place IS NOT NULL ORDER BY v.place DESC LIMIT 1 OFFSET 1"
_SHOWN: Final = "AND v.key > $2 AND v.version = coalesce(t.current, t.newest)"
# Of the rows within the limit, those whose bytes fit together, and at least one.
_PAGE: Final = f"""
WITH sized AS (
    SELECT v.key, v.version, row_number() OVER page AS n,
        sum(octet_length(v.source)::bigint + octet_length(v.built)) OVER page AS whole
    {_JOINED} {_SHOWN} WINDOW page AS (ORDER BY v.key ROWS UNBOUNDED PRECEDING) ORDER BY v.key LIMIT $3
)
{SELECT} AND (v.key, v.version) IN (SELECT key, version FROM sized WHERE whole <= $4 OR n = 1) ORDER BY v.key
"""  # noqa: S608 - constants


class PostgresTemplates:
    """Implements `Templates` of `ports/control_content.py`."""

    def __init__(self, runner: Runner, clock: Clock, definitions: PostgresDefinitions) -> None:
        self._runner = runner
        self._clock = clock
        self._definitions = definitions

    async def put(self, tenant: str, template: Template) -> Template:
        """Store a template that was built elsewhere as the next version, publish it, and return it with that version
        number."""
        stored = await self.save(tenant, template.key, whole_source(template), template, "", publish=True)
        return stored.template

    async def save(
        self, tenant: str, key: str, source: Source, built: Template, by: str, *, publish: bool = False, note: str = ""
    ) -> TemplateVersion:
        """Store a draft, with `publish` also publish it in the same transaction, and return the version."""

        async def work(tx: Transaction) -> TemplateVersion:
            writing, now_ms = TemplateWriting(tx, tenant, key), self._clock.now_ms()
            version = await writing.save(source, built, by, now_ms)
            if publish:
                await writing.publish(version, built, by, note, now_ms)
            return await writing.shown(version)

        return await self._runner.run(tenant, work, locked=tenant)

    async def publish(
        self, tenant: str, key: str, version: int, built: Template, by: str, note: str, *, source: Source | None = None
    ) -> TemplateVersion:
        """Make a version the current one. Raises `NotFound` when it does not exist, and `Conflict` when its source is
        no longer `source`."""

        async def work(tx: Transaction) -> TemplateVersion:
            writing = TemplateWriting(tx, tenant, key)
            if source is not None and (await writing.shown(version)).source != source:
                raise Conflict("the draft was changed meanwhile; read it again", code="draft_changed")
            await writing.publish(version, built, by, note, self._clock.now_ms())
            return await writing.shown(version)

        return await self._runner.run(tenant, work, locked=tenant)

    async def rebuild(self, tenant: str, built: Mapping[tuple[str, int], Template]) -> None:
        """Replace the built templates of these (key, version) that are still current, in one transaction."""
        await self._runner.run(tenant, lambda tx: _rebuild(tx, tenant, built), locked=tenant)

    async def share(
        self, tenant: str, kind: str, key: str, body: bytes, built: Mapping[tuple[str, int], Template]
    ) -> DefinitionRecord:
        """Store a definition that templates share and the templates rebuilt with it, in one transaction."""

        async def work(tx: Transaction) -> DefinitionRecord:
            record = await self._definitions.put_within(tx, tenant, kind, key, body)
            await _rebuild(tx, tenant, built)
            return record

        return await self._runner.run(tenant, work, locked=tenant)

    async def get(self, tenant: str, key: str) -> Template | None:
        """Return the built current version, or for `key@3` that version; None when there is none."""
        name, version = template_name.split(key)
        row = await self._runner.row(tenant, _GET, tenant, name, version)
        return read_built(row[0]) if row else None

    async def version(self, tenant: str, key: str, version: int | None = None) -> TemplateVersion | None:
        """Return a version, or without a number the newest one; None when there is none."""
        if version is None:
            return await self._one(_NEWEST, tenant, key)
        return await self._one(VERSION, tenant, key, version)

    async def current(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the current version with its source, or None when there is none."""
        return await self._one(_CURRENT, tenant, key)

    async def versions(self, tenant: str, key: str, before: int, limit: int) -> list[VersionNote]:
        """Return the versions below a number, newest first."""
        return [VersionNote(*row) for row in await self._runner.rows(tenant, _VERSIONS, tenant, key, before, limit)]

    async def previous(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the version that a rollback makes current, or None when there is none. Two rollbacks go two versions
        back, not back and forth."""
        return await self._one(_PREVIOUS, tenant, key)

    async def page(self, tenant: str, after: str, limit: int) -> list[TemplateVersion]:
        """Return current versions (the draft for a template that was never published) in the order of their keys."""
        rows = await self._runner.rows(tenant, _PAGE, tenant, after, limit, TEMPLATES_PAGE_BYTES_MAX)
        return [read_version(row) for row in rows]

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a template with all its versions; return whether there was one."""
        return await self._runner.run(tenant, lambda tx: TemplateWriting(tx, tenant, key).remove(), locked=tenant)

    async def _one(self, text: str, tenant: str, *values: str | int) -> TemplateVersion | None:
        row = await self._runner.row(tenant, text, tenant, *values)
        return read_version(row) if row else None


async def _rebuild(tx: Transaction, tenant: str, built: Mapping[tuple[str, int], Template]) -> None:
    for (key, version), template in built.items():
        await TemplateWriting(tx, tenant, key).rebuild(version, template)
