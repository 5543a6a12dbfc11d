"""Repositories of categories and templates."""

from typing import Protocol

from clarion.domain.content import Category, Template


class Categories(Protocol):
    """The categories of a tenant."""

    async def put(self, tenant: str, category: Category) -> None:
        """Create or replace a category. Raises `Conflict` over `CATEGORIES_PER_TENANT_MAX`."""
        ...

    async def get(self, tenant: str, key: str) -> Category | None:
        """Return a category."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[Category]:
        """Return categories in the order of their keys."""
        ...

    async def keys(self, tenant: str) -> dict[str, bool]:
        """Return the keys of all categories with whether each is critical."""
        ...

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a category; return whether there was one. Raises `Conflict` while a template is of it."""
        ...


class Templates(Protocol):
    """The current versions of a tenant's templates."""

    async def put(self, tenant: str, template: Template) -> Template:
        """Store a template as the next version of its key and return it with that version. Raises `InvalidField` when
        its category does not exist."""
        ...

    async def get(self, tenant: str, key: str) -> Template | None:
        """Return a template."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[Template]:
        """Return templates in the order of their keys."""
        ...

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a template; return whether there was one."""
        ...
