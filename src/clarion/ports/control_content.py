"""Repositories of categories and templates."""

from collections.abc import Mapping
from typing import Protocol

from clarion.domain.content import Category, Template
from clarion.domain.template import Source, TemplateVersion, VersionNote
from clarion.ports.control_definitions import DefinitionRecord


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
        """Remove a category; return whether it existed. Raises `Conflict` while a template belongs to it."""
        ...


class Templates(Protocol):
    """Templates of a tenant with all their versions. Version numbers are never used again, not even after a removal."""

    async def put(self, tenant: str, template: Template) -> Template:
        """Store a template built elsewhere as the next version, published, and return it with that version. Raises
        `InvalidField` when its category does not exist."""
        ...

    async def save(
        self, tenant: str, key: str, source: Source, built: Template, by: str, *, publish: bool = False, note: str = ""
    ) -> TemplateVersion:
        """Store a draft: in place of the newest version if that is a draft, else as the next one. With `publish` it becomes
        the current version in the same transaction. Raises `InvalidField` when its category does not exist, `Conflict`
        over `TEMPLATES_PER_TENANT_MAX` or `TEMPLATE_VERSIONS_MAX`."""
        ...

    async def publish(
        self, tenant: str, key: str, version: int, built: Template, by: str, note: str, *, source: Source | None = None
    ) -> TemplateVersion:
        """Make a version the current one, with the template just built from its source; a draft becomes published and
        unchangeable. Raises `NotFound`, `InvalidField` when its category does not exist any more, and `Conflict` when
        `source` is given and is not the stored one."""
        ...

    async def rebuild(self, tenant: str, built: Mapping[tuple[str, int], Template]) -> None:
        """Replace the built templates of those (key, version) that are still current, in one transaction."""
        ...

    async def share(
        self, tenant: str, kind: str, key: str, body: bytes, built: Mapping[tuple[str, int], Template]
    ) -> DefinitionRecord:
        """Store the next version of a definition that templates share, and the templates rebuilt with it as `rebuild`
        does, all or nothing. Raises `Conflict` as `Definitions.put` does."""
        ...

    async def get(self, tenant: str, key: str) -> Template | None:
        """Return the current version as it is sent, None when there is none or only a draft; for `key@3` that
        version."""
        ...

    async def version(self, tenant: str, key: str, version: int | None = None) -> TemplateVersion | None:
        """Return a version, or the newest one."""
        ...

    async def current(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the current version with its source."""
        ...

    async def versions(self, tenant: str, key: str, before: int, limit: int) -> list[VersionNote]:
        """Return versions below a number, the newest first."""
        ...

    async def previous(self, tenant: str, key: str) -> TemplateVersion | None:
        """Return the version that a rollback leads to, or None: the one that was current before the current one. A
        second rollback leads further back, not forward."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[TemplateVersion]:
        """Return current versions (the draft of a template that was never published) in the order of their keys; fewer
        than `limit`, but at least one, when they are larger than `TEMPLATES_PAGE_BYTES_MAX` together."""
        ...

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a template with all its versions; return whether it existed."""
        ...
