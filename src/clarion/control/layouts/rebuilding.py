"""Changes of definitions that templates share: all templates that use one are rebuilt first, then everything is
stored."""

import asyncio
from collections.abc import AsyncIterator, Container

from clarion.control.templates.dependencies import dependencies_in
from clarion.domain.content import Template
from clarion.domain.errors import Conflict, InvalidField
from clarion.domain.limits import PAGE_ITEMS_MAX
from clarion.domain.limits_content import CONFINED_CHILDREN_MAX
from clarion.domain.template import Layout
from clarion.ports.control import Control
from clarion.ports.control_definitions import DefinitionRecord, Definitions
from clarion.ports.drafting import BuildJob, Drafting

Current = tuple[str, int]
"""Key and version of a current template."""


class TenantDefinitions:
    """The definitions of a tenant with one of them replaced."""

    def __init__(self, definitions: Definitions, kind: str, key: str, body: bytes) -> None:
        self._definitions = definitions
        self._place = (kind, key)
        self._record = DefinitionRecord(key, 0, body, 0, 0)

    async def get(self, tenant: str, kind: str, key: str) -> DefinitionRecord | None:
        """Return a definition, None when it does not exist."""
        return self._record if (kind, key) == self._place else await self._definitions.get(tenant, kind, key)


class Rebuilding:
    """Changes layouts or partials of tenants, by `kind`."""

    def __init__(self, control: Control, drafting: Drafting, kind: str) -> None:
        self._definitions = control.definitions
        self._templates = control.templates
        self._drafting = drafting
        self._kind = kind

    async def change(self, tenant: str, key: str, body: bytes) -> DefinitionRecord:
        """Store a definition together with the current templates rebuilt with it. Raises `InvalidField` naming a
        template that could not be built; then nothing is stored."""
        built = await self._built(tenant, key, body, ())
        record = await self._templates.share(tenant, self._kind, key, body, built)
        # A version published in the meantime was built with the previous definition.
        late = await self._built(tenant, key, body, built)
        if late:
            await self._templates.rebuild(tenant, late)
        return record

    async def check_unused(self, tenant: str, key: str) -> None:
        """Raise `Conflict` when a current template uses a definition."""
        async for _version, job in self._users(tenant, key, self._definitions):
            raise Conflict(f"template {job.key} uses it", code="in_use")

    async def _built(self, tenant: str, key: str, body: bytes, done: Container[Current]) -> dict[Current, Template]:
        """Return the templates that use a definition, except those in `done`, built with its new body."""
        built: dict[Current, Template] = {}
        group: list[tuple[Current, BuildJob]] = []
        async for version, job in self._users(tenant, key, TenantDefinitions(self._definitions, self._kind, key, body)):
            if (job.key, version) not in done:
                group.append(((job.key, version), job))
            if len(group) == CONFINED_CHILDREN_MAX:
                built.update(await self._build(group))
                group.clear()
        return {**built, **await self._build(group)}

    async def _build(self, group: list[tuple[Current, BuildJob]]) -> dict[Current, Template]:
        templates = await asyncio.gather(*(self._one(job) for _, job in group))
        return {current: template for (current, _), template in zip(group, templates, strict=True)}

    async def _one(self, job: BuildJob) -> Template:
        try:
            return await self._drafting.build(job)
        except InvalidField as error:
            place = f" at {error.field}" if error.field else ""
            detail = f"template {job.key} could not be built with it{place}: {error.detail}"
            raise InvalidField(detail, code="template_breaks") from error

    async def _users(
        self, tenant: str, key: str, definitions: TenantDefinitions | Definitions
    ) -> AsyncIterator[tuple[int, BuildJob]]:
        """Yield the current templates that use a definition: the version and the build job."""
        after = ""
        while page := await self._templates.page(tenant, after, PAGE_ITEMS_MAX):
            after = page[-1].key
            for found in page:
                if not found.current or (self._kind == Layout.KIND and found.source.layout != key):
                    continue
                job = await dependencies_in(definitions, tenant, found.key, found.source)
                if self._kind == Layout.KIND or key in job.partials:
                    yield found.version, job
