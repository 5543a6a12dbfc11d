"""Reads of templates' versions."""

from typing import Protocol

from clarion.domain.template import TemplateVersion


class TemplateVersions(Protocol):
    """The versions of templates, drafts included."""

    async def version(self, tenant: str, key: str, version: int | None = None) -> TemplateVersion | None:
        """Return a version, or the newest one."""
        ...
