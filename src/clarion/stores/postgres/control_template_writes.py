"""Writes to one template within a transaction on PostgreSQL that locks the tenant."""

from typing import Any, Final

import msgspec

from clarion.domain.content import Template
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.limits_content import TEMPLATE_VERSIONS_MAX, TEMPLATES_PER_TENANT_MAX
from clarion.domain.template import Source, TemplateVersion, VersionNote
from clarion.stores.postgres.control_run import Transaction

NOTED: Final = (
    "v.version, t.current IS NOT DISTINCT FROM v.version, v.created_ms, v.created_by, v.published_ms, v.published_by,"
    " v.note"
)
SELECT: Final = f"""
SELECT v.key, v.source, v.built, {NOTED} FROM template_versions v JOIN templates t ON t.tenant = v.tenant AND t.key = v.key
WHERE v.tenant = $1
"""  # noqa: S608 - constants
VERSION: Final = f"{SELECT} AND v.key = $2 AND v.version = $3"
_HEAD: Final = "SELECT newest FROM templates WHERE tenant = $1 AND key = $2"
_DRAFT: Final = """
SELECT builds FROM template_versions WHERE tenant = $1 AND key = $2 AND version = $3 AND published_ms IS NULL
"""
_UPDATE_DRAFT: Final = """
UPDATE template_versions SET category = $4, builds = $5, created_ms = $6, created_by = $7, note = '', source = $8,
    built = $9
WHERE tenant = $1 AND key = $2 AND version = $3
"""
_INSERT: Final = """
INSERT INTO template_versions (tenant, key, version, category, builds, created_ms, created_by, note, source, built)
VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9)
"""
_SET_NEWEST: Final = """
INSERT INTO templates (tenant, key, newest, removed) VALUES ($1, $2, $3, false)
ON CONFLICT (tenant, key) DO UPDATE SET newest = excluded.newest, removed = false
"""
_PLACE: Final = """
SELECT place, builds, source, (SELECT max(place) FROM template_versions WHERE tenant = $1 AND key = $2)
FROM template_versions WHERE tenant = $1 AND key = $2 AND version = $3
"""
_ROLL_BACK: Final = "UPDATE template_versions SET place = NULL WHERE tenant = $1 AND key = $2 AND place > $3"
_PUBLISH: Final = """
UPDATE template_versions SET place = $4, builds = $5, built = $6, published_ms = $7, published_by = $8, note = $9
WHERE tenant = $1 AND key = $2 AND version = $3
"""
_SET_CURRENT: Final = "UPDATE templates SET current = $3 WHERE tenant = $1 AND key = $2"
_BUILDS: Final = """
SELECT v.builds, v.source FROM template_versions v JOIN templates t ON t.tenant = v.tenant AND t.key = v.key
WHERE v.tenant = $1 AND v.key = $2 AND v.version = $3 AND t.current = $3
"""
_REBUILD: Final = "UPDATE template_versions SET builds = $4, built = $5 WHERE tenant = $1 AND key = $2 AND version = $3"
_REMOVE_VERSIONS: Final = "DELETE FROM template_versions WHERE tenant = $1 AND key = $2"
_REMOVE: Final = """
UPDATE templates SET removed = true, current = NULL WHERE tenant = $1 AND key = $2 AND NOT removed
"""
_CATEGORY: Final = "SELECT 1 FROM categories WHERE tenant = $1 AND key = $2"
_LIVE: Final = "SELECT count(*) FROM templates WHERE tenant = $1 AND NOT removed"
_KEPT: Final = "SELECT count(*) FROM template_versions WHERE tenant = $1 AND key = $2"
_SOURCE: Final = msgspec.json.Decoder(Source)
_BUILT: Final = msgspec.json.Decoder(Template)


class TemplateWriting:
    """Writes to the template of a key within a transaction."""

    def __init__(self, tx: Transaction, tenant: str, key: str) -> None:
        self._tx = tx
        self._tenant = tenant
        self._key = key
        self._own = (tenant, key)

    async def save(self, source: Source, built: Template, by: str, now_ms: int) -> int:
        """Store a draft and return its number: that of the newest version if it is a draft, else the next one."""
        await self._check_category(source.category)
        version = await self._tx.value(_HEAD, *self._own) or 0
        builds = await self._tx.value(_DRAFT, *self._own, version)
        if builds is None:
            version += 1
        values = (
            version, source.category, (builds or 0) + 1, now_ms, by, msgspec.json.encode(source).decode(),
            self._text(version, built, source),
        )  # fmt: skip
        if builds is not None:
            await self._tx.define(self._tenant, _UPDATE_DRAFT, *self._own, *values)
            return int(version)
        await self._tx.change(_INSERT, *self._own, *values)
        await self._tx.define(self._tenant, _SET_NEWEST, *self._own, version)
        await self._check_bounds()
        return int(version)

    async def publish(self, version: int, built: Template, by: str, note: str, now_ms: int) -> None:
        """Make a version the current one. Raises `NotFound` when it does not exist."""
        row = await self._tx.row(_PLACE, *self._own, version)
        if row is None:
            raise NotFound("no such version of this template", field="version")
        place, builds, text, last = row
        source = _SOURCE.decode(text)
        await self._check_category(source.category)
        if place is None:
            place = (last or 0) + 1
        await self._tx.change(_ROLL_BACK, *self._own, place)
        built_text = self._text(version, built, source)
        await self._tx.change(_PUBLISH, *self._own, version, place, builds + 1, built_text, now_ms, by, note)
        await self._tx.define(self._tenant, _SET_CURRENT, *self._own, version)

    async def rebuild(self, version: int, built: Template) -> None:
        """Replace the built template of a version if it is the current one."""
        row = await self._tx.row(_BUILDS, *self._own, version)
        if row:
            text = self._text(version, built, _SOURCE.decode(row[1]))
            await self._tx.define(self._tenant, _REBUILD, *self._own, version, row[0] + 1, text)

    async def remove(self) -> bool:
        """Remove all versions and return whether there were any. The template's row stays, so that version numbers are
        not used again."""
        await self._tx.change(_REMOVE_VERSIONS, *self._own)
        return await self._tx.define(self._tenant, _REMOVE, *self._own) > 0

    async def shown(self, version: int) -> TemplateVersion:
        """Return a version. Raises `NotFound` when it does not exist."""
        row = await self._tx.row(VERSION, *self._own, version)
        if row is None:
            raise NotFound("no such version of this template", field="version")
        return read_version(row)

    def _text(self, version: int, built: Template, source: Source) -> str:
        stored = msgspec.structs.replace(built, key=self._key, version=version, category=source.category)
        return msgspec.json.encode(stored).decode()

    async def _check_category(self, key: str | None) -> None:
        if key is not None and not await self._tx.row(_CATEGORY, self._tenant, key):
            raise InvalidField(f"no such category: {key}", field="category", code="unknown_category")

    async def _check_bounds(self) -> None:
        if await self._tx.value(_LIVE, self._tenant) > TEMPLATES_PER_TENANT_MAX:
            raise Conflict(f"a tenant has at most {TEMPLATES_PER_TENANT_MAX} templates")
        if await self._tx.value(_KEPT, *self._own) > TEMPLATE_VERSIONS_MAX:
            raise Conflict(f"a template has at most {TEMPLATE_VERSIONS_MAX} versions; remove it to start again")


def read_built(text: str) -> Template:
    """Return the template of a `built` column. Raises `msgspec.MsgspecError` when only a newer build can read it."""
    return _BUILT.decode(text)


def read_version(row: Any) -> TemplateVersion:
    """Return the version of a row of `SELECT`."""
    key, source, built, *rest = row
    noted = VersionNote(*rest)
    return TemplateVersion(
        key, noted.version, _SOURCE.decode(source), read_built(built), noted.current, noted.created_ms,
        noted.created_by, noted.published_ms, noted.published_by, noted.note,
    )  # fmt: skip
