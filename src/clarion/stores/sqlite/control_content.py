"""Categories in `control.db`."""

from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.domain.channel import Lane
from clarion.domain.content import Category, CategoryRules
from clarion.domain.errors import Conflict
from clarion.domain.limits import CATEGORIES_PER_TENANT_MAX
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import CATEGORIES, TEMPLATE_VERSIONS, TEMPLATES

CATEGORY_COLUMNS: Final = "key, critical, lane, defaults, rules"
_IN_USE: Final = and_(
    TEMPLATE_VERSIONS.c.tenant == TEMPLATES.c.tenant,
    TEMPLATE_VERSIONS.c.key == TEMPLATES.c.key,
    TEMPLATE_VERSIONS.c.version.in_([TEMPLATES.c.current, TEMPLATES.c.newest]),
)
"""Versions in use: those that are sent, and drafts that are sent once published."""
_CATEGORY: Final = [CATEGORIES.c[name] for name in CATEGORY_COLUMNS.split(", ")]


def read_category(row: Row) -> Category:
    """Return the category of a row of `CATEGORY_COLUMNS`."""
    key, critical, lane, defaults, rules = row
    return Category(key, bool(critical), Lane(lane), msgspec.json.decode(defaults), _RULES.decode(rules))


_RULES: Final = msgspec.json.Decoder(CategoryRules)


class SqliteCategories:
    """The categories of a tenant."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def put(self, tenant: str, category: Category) -> None:
        """Create or replace a category. Raises `Conflict` over `CATEGORIES_PER_TENANT_MAX`."""
        values = {
            "critical": int(category.critical),
            "lane": category.lane.value,
            "defaults": msgspec.json.encode(category.defaults, order="sorted").decode(),
            "rules": msgspec.json.encode(category.rules).decode(),
        }
        write = upsert(CATEGORIES).values(tenant=tenant, key=category.key, **values)
        write = write.on_conflict_do_update(index_elements=["tenant", "key"], set_=values)
        count = select(func.count()).select_from(CATEGORIES).where(CATEGORIES.c.tenant == tenant)

        def work(tx: Transaction) -> None:
            tx.define(tenant, write)
            if tx.rows(count)[0][0] > CATEGORIES_PER_TENANT_MAX:
                raise Conflict(f"a tenant has at most {CATEGORIES_PER_TENANT_MAX} categories")

        await self._runner.run(work)

    async def get(self, tenant: str, key: str) -> Category | None:
        """Return a category, or None when there is none."""
        row = self._runner.read(lambda tx: tx.row(select(*_CATEGORY).where(_category(tenant, key))))
        return read_category(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[Category]:
        """Return categories in the order of their keys."""
        own = and_(CATEGORIES.c.tenant == tenant, CATEGORIES.c.key > after)
        query = select(*_CATEGORY).where(own).order_by(CATEGORIES.c.key).limit(limit)
        return [read_category(row) for row in self._runner.read(lambda tx: tx.rows(query))]

    async def keys(self, tenant: str) -> dict[str, bool]:
        """Return, by key, whether each category is critical."""
        query = select(CATEGORIES.c.key, CATEGORIES.c.critical).where(CATEGORIES.c.tenant == tenant)
        return {key: bool(critical) for key, critical in self._runner.read(lambda tx: tx.rows(query))}

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a category; return whether there was one. Raises `Conflict` while a template refers to it."""
        users = select(TEMPLATES.c.key).join(TEMPLATE_VERSIONS, _IN_USE)
        users = users.where(TEMPLATES.c.tenant == tenant, TEMPLATE_VERSIONS.c.category == key).limit(1)

        def work(tx: Transaction) -> bool:
            used = tx.row(users)
            if used:
                raise Conflict(f"the template {used[0]!r} is of this category", code="in_use")
            return tx.define(tenant, delete(CATEGORIES).where(_category(tenant, key))) > 0

        return await self._runner.run(work)


def _category(tenant: str, key: str) -> ColumnElement[bool]:
    return and_(CATEGORIES.c.tenant == tenant, CATEGORIES.c.key == key)
