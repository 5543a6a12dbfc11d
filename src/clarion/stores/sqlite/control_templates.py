"""Templates with their versions in `control.db`.

A version that was ever current has a `place`: publishing a version puts it after all other versions, and a rollback to
a version removes the places of those after it. The last place is the current version's; a rollback leads to the one
before. `builds` counts how often a version was built, so that readers detect any change by two numbers.
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.domain import template_name
from clarion.domain.content import Template
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.limits_content import TEMPLATE_VERSIONS_MAX, TEMPLATES_PAGE_BYTES_MAX, TEMPLATES_PER_TENANT_MAX
from clarion.domain.template import Source, TemplateVersion, VersionNote, whole_source
from clarion.ports.clock import Clock
from clarion.ports.control_definitions import DefinitionRecord
from clarion.stores.sqlite.control_definitions import SqliteDefinitions
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import CATEGORIES, TEMPLATE_VERSIONS, TEMPLATES

_V: Final = TEMPLATE_VERSIONS.c
_SAME: Final = and_(_V.tenant == TEMPLATES.c.tenant, _V.key == TEMPLATES.c.key)
_NOTED: Final = (
    _V.version, TEMPLATES.c.current == _V.version, _V.created_ms, _V.created_by, _V.published_ms,
    _V.published_by, _V.note,
)  # fmt: skip
_COLUMNS: Final = (_V.key, _V.source, _V.built, *_NOTED)
_BYTES: Final = func.length(_V.source) + func.length(_V.built)
_SHOWN: Final = func.coalesce(TEMPLATES.c.current, TEMPLATES.c.newest)
_SOURCE: Final = msgspec.json.Decoder(Source)
_BUILT: Final = msgspec.json.Decoder(Template)


def read_built(text: str) -> Template:
    """Return the template of a `built` column. Raises `msgspec.MsgspecError` when only a newer build can read it."""
    return _BUILT.decode(text)


class SqliteTemplates:
    """Implements `Templates` of `ports/control_content.py`."""

    def __init__(self, runner: Runner, clock: Clock, definitions: SqliteDefinitions) -> None:
        self._runner = runner
        self._clock = clock
        self._definitions = definitions

    async def put(self, tenant: str, template: Template) -> Template:
        """Store a template that was built elsewhere as the next version, publish it, and return it with that version
        number."""
        return await self._runner.run(lambda tx: self._put(_Writing(tx, tenant, template.key), template))

    async def save(
        self, tenant: str, key: str, source: Source, built: Template, by: str, *, publish: bool = False, note: str = ""
    ) -> TemplateVersion:
        """Store a draft, with `publish` also publish it in the same transaction, and return the version."""

        def work(tx: Transaction) -> TemplateVersion:
            writing, now_ms = _Writing(tx, tenant, key), self._clock.now_ms()
            version = writing.save(source, built, by, now_ms)
            if publish:
                writing.publish(version, built, by, note, now_ms)
            return writing.shown(version)

        return await self._runner.run(work)

    async def publish(
        self, tenant: str, key: str, version: int, built: Template, by: str, note: str, *, source: Source | None = None
    ) -> TemplateVersion:
        """Make a version the current one. Raises `NotFound` when it does not exist, and `Conflict` when its source is
        no longer `source`."""

        def work(tx: Transaction) -> TemplateVersion:
            writing = _Writing(tx, tenant, key)
            if source is not None and writing.shown(version).source != source:
                raise Conflict("the draft was changed meanwhile; read it again", code="draft_changed")
            writing.publish(version, built, by, note, self._clock.now_ms())
            return writing.shown(version)

        return await self._runner.run(work)

    async def rebuild(self, tenant: str, built: Mapping[tuple[str, int], Template]) -> None:
        """Replace the built templates of these (key, version) that are still current, in one transaction."""

        await self._runner.run(lambda tx: self._rebuild(tx, tenant, built))

    async def share(
        self, tenant: str, kind: str, key: str, body: bytes, built: Mapping[tuple[str, int], Template]
    ) -> DefinitionRecord:
        """Store a definition that templates share and the templates rebuilt with it, in one transaction."""

        def work(tx: Transaction) -> DefinitionRecord:
            record = self._definitions.put_within(tx, tenant, kind, key, body)
            self._rebuild(tx, tenant, built)
            return record

        return await self._runner.run(work)

    async def get(self, tenant: str, key: str) -> Template | None:
        """Return the built current version, or for `key@3` that version; None when there is none."""
        name, version = template_name.split(key)
        where = _version(tenant, name, TEMPLATES.c.current if version is None else version)
        query = select(_V.built).join(TEMPLATES, _SAME).where(where)
        row = await self._runner.run(lambda tx: tx.row(query))
        return read_built(row[0]) if row else None

    async def version(self, tenant: str, key: str, version: int | None = None) -> TemplateVersion | None:
        """Return a version, or without a number the newest one; None when there is none."""
        return await self._one(_version(tenant, key, TEMPLATES.c.newest if version is None else version))

    async def current(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the current version with its source, or None when there is none."""
        return await self._one(_version(tenant, key, TEMPLATES.c.current))

    async def versions(self, tenant: str, key: str, before: int, limit: int) -> list[VersionNote]:
        """Return the versions below a number, newest first."""
        own = and_(_V.tenant == tenant, _V.key == key, _V.version < before)
        query = select(*_NOTED).join(TEMPLATES, _SAME).where(own).order_by(_V.version.desc()).limit(limit)
        return [_noted(row) for row in await self._runner.run(lambda tx: tx.rows(query))]

    async def previous(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the version that a rollback makes current, or None when there is none. Two rollbacks go two versions
        back, not back and forth."""
        own = and_(_V.tenant == tenant, _V.key == key, _V.place.is_not(None))
        query = _select().where(own).order_by(_V.place.desc()).limit(1).offset(1)
        row = await self._runner.run(lambda tx: tx.row(query))
        return _record(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[TemplateVersion]:
        """Return current versions (the draft for a template that was never published) in the order of their keys."""
        own = and_(TEMPLATES.c.tenant == tenant, TEMPLATES.c.key > after, _V.version == _SHOWN)
        sizes = select(TEMPLATES.c.key, _BYTES).join(TEMPLATE_VERSIONS, _SAME).where(own)
        sizes = sizes.order_by(TEMPLATES.c.key).limit(limit)
        query = _select().where(own).order_by(TEMPLATES.c.key)
        found = await self._runner.run(lambda tx: tx.rows(query.limit(_fitting(tx.rows(sizes)))))
        return [_record(row) for row in found]

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a template with all its versions; return whether there was one."""
        return await self._runner.run(lambda tx: _Writing(tx, tenant, key).remove())

    def _rebuild(self, tx: Transaction, tenant: str, built: Mapping[tuple[str, int], Template]) -> None:
        for (key, version), template in built.items():
            _Writing(tx, tenant, key).rebuild(version, template)

    def _put(self, writing: "_Writing", template: Template) -> Template:
        source = whole_source(template)
        now_ms = self._clock.now_ms()
        version = writing.save(source, template, "", now_ms)
        writing.publish(version, template, "", "", now_ms)
        return writing.shown(version).template

    async def _one(self, where: ColumnElement[bool]) -> TemplateVersion | None:
        row = await self._runner.run(lambda tx: tx.row(_select().where(where)))
        return _record(row) if row else None


class _Writing:
    """Writes to one template within a transaction."""

    def __init__(self, tx: Transaction, tenant: str, key: str) -> None:
        self._tx = tx
        self._tenant = tenant
        self._key = key
        self._head = and_(TEMPLATES.c.tenant == tenant, TEMPLATES.c.key == key)
        self._own = and_(_V.tenant == tenant, _V.key == key)

    def save(self, source: Source, built: Template, by: str, now_ms: int) -> int:
        """Store a draft and return its number: that of the newest version if it is a draft, else the next one."""
        self._check_category(source.category)
        head = self._tx.row(select(TEMPLATES.c.newest, TEMPLATES.c.removed).where(self._head))
        version = head[0] if head else 0
        unpublished = and_(self._own, _V.version == version, _V.published_ms.is_(None))
        draft = self._tx.row(select(_V.builds).where(unpublished))
        if not draft:
            version += 1
        values = {
            "category": source.category, "builds": draft[0] + 1 if draft else 1, "created_ms": now_ms, "created_by": by,
            "note": "", "source": msgspec.json.encode(source).decode(), "built": self._text(version, built, source),
        }  # fmt: skip
        if draft:
            self._tx.define(
                self._tenant, update(TEMPLATE_VERSIONS).where(self._own, _V.version == version).values(values)
            )
            return version
        self._tx.change(insert(TEMPLATE_VERSIONS).values(tenant=self._tenant, key=self._key, version=version, **values))
        write = upsert(TEMPLATES).values(tenant=self._tenant, key=self._key, newest=version, removed=0)
        self._tx.define(
            self._tenant,
            write.on_conflict_do_update(index_elements=["tenant", "key"], set_={"newest": version, "removed": 0}),
        )
        self._check_bounds()
        return version

    def publish(self, version: int, built: Template, by: str, note: str, now_ms: int) -> None:
        """Make a version the current one. Raises `NotFound` when it does not exist."""
        this = and_(self._own, _V.version == version)
        row = self._tx.row(select(_V.place, _V.builds, _V.source).where(this))
        if row is None:
            raise NotFound("no such version of this template", field="version")
        place, builds, text = row
        source = _SOURCE.decode(text)
        self._check_category(source.category)
        if place is None:
            ((last,),) = self._tx.rows(select(func.max(_V.place)).where(self._own))
            place = (last or 0) + 1
        self._tx.change(update(TEMPLATE_VERSIONS).where(self._own, _V.place > place).values(place=None))
        values = {
            "place": place, "builds": builds + 1, "built": self._text(version, built, source), "published_ms": now_ms,
            "published_by": by, "note": note,
        }  # fmt: skip
        self._tx.change(update(TEMPLATE_VERSIONS).where(this).values(values))
        self._tx.define(self._tenant, update(TEMPLATES).where(self._head).values(current=version))

    def rebuild(self, version: int, built: Template) -> None:
        """Replace the built template of a version if it is the current one."""
        this = and_(self._own, _V.version == version, TEMPLATES.c.current == version)
        row = self._tx.row(select(_V.builds, _V.source).join(TEMPLATES, _SAME).where(this))
        if row:
            text = self._text(version, built, _SOURCE.decode(row[1]))
            write = update(TEMPLATE_VERSIONS).where(self._own, _V.version == version)
            self._tx.define(self._tenant, write.values(builds=row[0] + 1, built=text))

    def remove(self) -> bool:
        """Remove all versions and return whether there were any. The template's row stays, so that version numbers are
        not used again."""
        self._tx.change(delete(TEMPLATE_VERSIONS).where(self._own))
        gone = update(TEMPLATES).where(self._head, TEMPLATES.c.removed == 0).values(removed=1, current=None)
        return self._tx.define(self._tenant, gone) > 0

    def shown(self, version: int) -> TemplateVersion:
        """Return a version. Raises `NotFound` when it does not exist."""
        row = self._tx.row(_select().where(_version(self._tenant, self._key, version)))
        if row is None:
            raise NotFound("no such version of this template", field="version")
        return _record(row)

    def _text(self, version: int, built: Template, source: Source) -> str:
        stored = msgspec.structs.replace(built, key=self._key, version=version, category=source.category)
        return msgspec.json.encode(stored).decode()

    def _check_category(self, key: str | None) -> None:
        known = select(CATEGORIES.c.key).where(CATEGORIES.c.tenant == self._tenant, CATEGORIES.c.key == key)
        if key is not None and not self._tx.row(known):
            raise InvalidField(f"no such category: {key}", field="category", code="unknown_category")

    def _check_bounds(self) -> None:
        live = and_(TEMPLATES.c.tenant == self._tenant, TEMPLATES.c.removed == 0)
        if self._tx.rows(select(func.count()).select_from(TEMPLATES).where(live))[0][0] > TEMPLATES_PER_TENANT_MAX:
            raise Conflict(f"a tenant has at most {TEMPLATES_PER_TENANT_MAX} templates")
        kept = select(func.count()).select_from(TEMPLATE_VERSIONS).where(self._own)
        if self._tx.rows(kept)[0][0] > TEMPLATE_VERSIONS_MAX:
            raise Conflict(f"a template has at most {TEMPLATE_VERSIONS_MAX} versions; remove it to start again")


def _select() -> "Select[Any]":
    return select(*_COLUMNS).join(TEMPLATES, _SAME)


def _version(tenant: str, key: str, number: Any) -> ColumnElement[bool]:
    return and_(_V.tenant == tenant, _V.key == key, _V.version == number)


def _record(row: Row) -> TemplateVersion:
    key, source, built, *rest = row
    noted = _noted(tuple(rest))
    return TemplateVersion(
        key, noted.version, _SOURCE.decode(source), read_built(built), noted.current, noted.created_ms,
        noted.created_by, noted.published_ms, noted.published_by, noted.note,
    )  # fmt: skip


def _noted(row: Row) -> VersionNote:
    version, current, *rest = row
    return VersionNote(version, bool(current), *rest)


def _fitting(sizes: list[Row]) -> int:
    """Return the number of leading rows to read in one query, judged by their sizes; at least one."""
    whole = accumulate(size for _, size in sizes)
    return max(1, sum(1 for size in whole if size <= TEMPLATES_PAGE_BYTES_MAX))
