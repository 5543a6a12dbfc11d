"""Definitions and categories that one process has read for the waiting side, a tenant's kept until one of them changes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from clarion.domain.limits import DIRECTORY_CACHE_MAX
from clarion.domain.policy import Policy
from clarion.domain.workflow import Workflow
from clarion.plan.wait_facts import CATEGORIES, DEFINITIONS, Kept, Unreadable
from clarion.ports.directory import Directory


class KnownDefinitions:
    """What was handed out stays as it is, but for what is added."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revisions: dict[str, int] = {}
        """Of each tenant of which something is kept, as it was before the first of it was read."""
        self._kept: dict[str, dict[tuple[str, Any], Any]] = {}
        self._count = 0

    def of(self, tenants: Iterable[str]) -> Kept:
        """Return what is kept of tenants, by kind and key; called once a step, before anything else is read for it."""
        if max(self._count, len(self._kept)) >= DIRECTORY_CACHE_MAX:
            self._revisions, self._kept, self._count = {}, {}, 0
        found: dict[str, dict[tuple[str, Any], Any]] = {}
        for tenant in tenants:
            revision = self._directory.revision(tenant)
            if self._revisions.get(tenant) != revision:
                self._revisions[tenant] = revision
                self._count -= len(self._kept.get(tenant, ()))
                self._kept[tenant] = {}
            found[tenant] = self._kept[tenant]
        return found

    def keep(self, kept: Kept, found: Mapping[str, Mapping[Any, Any]]) -> None:
        """Add what was read, by kind and key, to what `of` returned before it was."""
        for kind in (DEFINITIONS, CATEGORIES):
            for key, value in found.get(kind, _NOTHING).items():
                if (of_tenant := kept.get(key[0])) is not None and _stays(kind, key, value):
                    self._count += (kind, key) not in of_tenant
                    of_tenant[kind, key] = value


def _stays(kind: str, key: Any, value: Any) -> bool:
    """Return whether something may be kept: no schedules and the like, which have to be current when they are looked at, and
    of what is not there only that a tenant has no policy, for most have none."""
    if isinstance(value, Unreadable):
        return False
    if kind == CATEGORIES:
        return value is not None
    return key[1] is Policy or (key[1] is Workflow and value is not None and key[3] is not None)


_NOTHING: Final[Mapping[Any, Any]] = {}
