"""Categories and templates in `control.db`."""

from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Select, and_, delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.backends.sqlite.control_run import Row, Runner, Transaction
from clarion.backends.sqlite.control_tables import CATEGORIES, TEMPLATES
from clarion.domain.channel import Lane
from clarion.domain.content import Category, CategoryRules, Template
from clarion.domain.errors import Conflict, InvalidField
from clarion.domain.limits import CATEGORIES_PER_TENANT_MAX
from clarion.ports.clock import Clock

CATEGORY_COLUMNS: Final = "key, critical, lane, defaults, rules"
TEMPLATE_COLUMNS: Final = "key, version, category, parts, variables, uses_user"
_CATEGORY: Final = [CATEGORIES.c[name] for name in CATEGORY_COLUMNS.split(", ")]
_TEMPLATE: Final = [TEMPLATES.c[name] for name in TEMPLATE_COLUMNS.split(", ")]


def read_category(row: Row) -> Category:
    """Return the category of a row of `CATEGORY_COLUMNS`."""
    key, critical, lane, defaults, rules = row
    return Category(key, bool(critical), Lane(lane), msgspec.json.decode(defaults), _RULES.decode(rules))


def read_template(row: Row) -> Template:
    """Return the template of a row of `TEMPLATE_COLUMNS`."""
    key, version, category, parts, variables, uses_user = row
    names = tuple(msgspec.json.decode(variables))
    return Template(key, version, category, _PARTS.decode(parts), names, bool(uses_user))


_PARTS: Final = msgspec.json.Decoder(Template.__annotations__["parts"])
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
            tx.define(write)
            if tx.rows(count)[0][0] > CATEGORIES_PER_TENANT_MAX:
                raise Conflict(f"a tenant has at most {CATEGORIES_PER_TENANT_MAX} categories")

        await self._runner.run(work)

    async def get(self, tenant: str, key: str) -> Category | None:
        """Return a category."""
        row = await self._runner.run(lambda tx: tx.row(select(*_CATEGORY).where(_category(tenant, key))))
        return read_category(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[Category]:
        """Return categories in the order of their keys."""
        query = _page(select(*_CATEGORY), CATEGORIES.c.tenant == tenant, CATEGORIES.c.key, after, limit)
        return [read_category(row) for row in await self._runner.run(lambda tx: tx.rows(query))]

    async def keys(self, tenant: str) -> dict[str, bool]:
        """Return the keys of all categories with whether each is critical."""
        query = select(CATEGORIES.c.key, CATEGORIES.c.critical).where(CATEGORIES.c.tenant == tenant)
        return {key: bool(critical) for key, critical in await self._runner.run(lambda tx: tx.rows(query))}

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a category; return whether there was one. Raises `Conflict` while a template is of it."""
        users = select(TEMPLATES.c.key).where(TEMPLATES.c.tenant == tenant, TEMPLATES.c.category == key).limit(1)

        def work(tx: Transaction) -> bool:
            used = tx.row(users)
            if used:
                raise Conflict(f"the template {used[0]!r} is of this category", code="in_use")
            return tx.define(delete(CATEGORIES).where(_category(tenant, key))) > 0

        return await self._runner.run(work)


class SqliteTemplates:
    """The current versions of a tenant's templates."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def put(self, tenant: str, template: Template) -> Template:
        """Store a template as the next version of its key and return it with that version. Raises `InvalidField` when
        its category does not exist."""
        values = {
            "category": template.category,
            "parts": msgspec.json.encode(template.parts).decode(),
            "variables": msgspec.json.encode(template.variables).decode(),
            "uses_user": int(template.uses_user),
            "updated_ms": self._clock.now_ms(),
        }
        write = upsert(TEMPLATES).values(tenant=tenant, key=template.key, version=1, **values)
        write = write.on_conflict_do_update(
            index_elements=["tenant", "key"], set_={**values, "version": TEMPLATES.c.version + 1}
        )

        def work(tx: Transaction) -> Template:
            category = template.category
            if category is not None and not tx.row(select(CATEGORIES.c.key).where(_category(tenant, category))):
                raise InvalidField(f"no such category: {category}", field="category", code="unknown_category")
            tx.define(write)
            return read_template(tx.row(select(*_TEMPLATE).where(_template(tenant, template.key))) or ())

        return await self._runner.run(work)

    async def get(self, tenant: str, key: str) -> Template | None:
        """Return a template."""
        row = await self._runner.run(lambda tx: tx.row(select(*_TEMPLATE).where(_template(tenant, key))))
        return read_template(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[Template]:
        """Return templates in the order of their keys."""
        query = _page(select(*_TEMPLATE), TEMPLATES.c.tenant == tenant, TEMPLATES.c.key, after, limit)
        return [read_template(row) for row in await self._runner.run(lambda tx: tx.rows(query))]

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a template; return whether there was one."""
        write = delete(TEMPLATES).where(_template(tenant, key))
        return await self._runner.run(lambda tx: tx.define(write)) > 0


def _category(tenant: str, key: str) -> ColumnElement[bool]:
    return and_(CATEGORIES.c.tenant == tenant, CATEGORIES.c.key == key)


def _template(tenant: str, key: str) -> ColumnElement[bool]:
    return and_(TEMPLATES.c.tenant == tenant, TEMPLATES.c.key == key)


def _page(
    query: "Select[Row]", mine: ColumnElement[bool], key: ColumnElement[str], after: str, limit: int
) -> "Select[Row]":
    return query.where(mine, key > after).order_by(key).limit(limit)
