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
        """Remove a category; return whether there was one. Raises `Conflict` while a template is of it."""
        ...


class Templates(Protocol):
    """Templates of a tenant with all their versions. Numbers never come back, not even after a removal."""

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
        """Make a version the current one, with what was built of its source just now; a draft becomes published and
        unchangeable. Raises `NotFound`, `InvalidField` when its category does not exist any more, and `Conflict` when
        its source is not `source`, if given."""
        ...

    async def rebuild(self, tenant: str, built: Mapping[tuple[str, int], Template]) -> None:
        """Replace what was built of these (key, version) that are still current, all at once."""
        ...

    async def share(
        self, tenant: str, kind: str, key: str, body: bytes, built: Mapping[tuple[str, int], Template]
    ) -> DefinitionRecord:
        """Store a definition that templates share as its next version, and what they become with it as `rebuild` does: all
        of it or nothing. Raises `Conflict` as `Definitions.put` does."""
        ...

    async def get(self, tenant: str, key: str) -> Template | None:
        """Return the current version as it is sent, None when there is none or only a draft; of `key@3` that version."""
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
        """Return where a rollback leads, if anywhere: the version that was current before the one that is. Going back
        again leads further back, not forth."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[TemplateVersion]:
        """Return current versions (of a template never published its draft) in the order of their keys; fewer than `limit`,
        but never none, when those are larger than `TEMPLATES_PAGE_BYTES_MAX` together."""
        ...

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a template with all its versions; return whether there was one."""
        ...
