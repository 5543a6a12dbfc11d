"""Categories on PostgreSQL."""

from typing import Any, Final

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.content import Category, CategoryRules
from clarion.domain.errors import Conflict
from clarion.domain.limits import CATEGORIES_PER_TENANT_MAX
from clarion.stores.postgres.control_run import Runner, Transaction

CATEGORY_COLUMNS: Final = "key, critical, lane, defaults, rules"
_SELECT: Final = f"SELECT {CATEGORY_COLUMNS} FROM categories WHERE tenant = $1"  # noqa: S608 - constants
_GET: Final = f"{_SELECT} AND key = $2"
_PAGE: Final = f"{_SELECT} AND key > $2 ORDER BY key LIMIT $3"
_PUT: Final = """
INSERT INTO categories (tenant, key, critical, lane, defaults, rules) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, key) DO UPDATE SET
    critical = excluded.critical, lane = excluded.lane, defaults = excluded.defaults, rules = excluded.rules
"""
_COUNT: Final = "SELECT count(*) FROM categories WHERE tenant = $1"
_KEYS: Final = "SELECT key, critical FROM categories WHERE tenant = $1"
# Versions in use: those that are sent, and drafts that are sent once published.
_USER: Final = """
SELECT t.key FROM template_versions v JOIN templates t ON t.tenant = v.tenant AND t.key = v.key
WHERE v.tenant = $1 AND v.category = $2 AND v.version IN (t.current, t.newest) LIMIT 1
"""
_REMOVE: Final = "DELETE FROM categories WHERE tenant = $1 AND key = $2"
_RULES: Final = msgspec.json.Decoder(CategoryRules)


def read_category(row: Any) -> Category:
    """Return the category of a row of `CATEGORY_COLUMNS`."""
    key, critical, lane, defaults, rules = row
    return Category(key, critical, Lane(lane), msgspec.json.decode(defaults), _RULES.decode(rules))


class PostgresCategories:
    """The categories of a tenant."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def put(self, tenant: str, category: Category) -> None:
        """Create or replace a category. Raises `Conflict` over `CATEGORIES_PER_TENANT_MAX`."""
        values = (
            category.key, category.critical, category.lane.value,
            msgspec.json.encode(category.defaults, order="sorted").decode(),
            msgspec.json.encode(category.rules).decode(),
        )  # fmt: skip

        async def work(tx: Transaction) -> None:
            await tx.define(tenant, _PUT, tenant, *values)
            if await tx.value(_COUNT, tenant) > CATEGORIES_PER_TENANT_MAX:
                raise Conflict(f"a tenant has at most {CATEGORIES_PER_TENANT_MAX} categories")

        await self._runner.run(tenant, work, locked=tenant)

    async def get(self, tenant: str, key: str) -> Category | None:
        """Return a category, or None when there is none."""
        row = await self._runner.row(tenant, _GET, tenant, key)
        return read_category(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[Category]:
        """Return categories in the order of their keys."""
        return [read_category(row) for row in await self._runner.rows(tenant, _PAGE, tenant, after, limit)]

    async def keys(self, tenant: str) -> dict[str, bool]:
        """Return, by key, whether each category is critical."""
        return dict(await self._runner.rows(tenant, _KEYS, tenant))

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a category; return whether there was one. Raises `Conflict` while a template refers to it."""

        async def work(tx: Transaction) -> bool:
            user = await tx.value(_USER, tenant, key)
            if user is not None:
                raise Conflict(f"the template {user!r} is of this category", code="in_use")
            return await tx.define(tenant, _REMOVE, tenant, key) > 0

        return await self._runner.run(tenant, work, locked=tenant)
