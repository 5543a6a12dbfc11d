"""Storing, publishing and rolling back templates: each version is built and checked before it is stored, with
warnings."""

import asyncio
from contextlib import suppress
from typing import NamedTuple

from clarion.control.templates.bodies import TemplateBody
from clarion.control.templates.dependencies import dependencies
from clarion.control.templates.rules import check_source
from clarion.control.templates.schema import chance_warnings, check_schema, sample_warnings
from clarion.control.templates.shapes import TemplateWarning
from clarion.domain.content import Template
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.limits_processes import LOOP_BODY_BYTES_MAX
from clarion.domain.schema import required_paths
from clarion.domain.template import Source, TemplateVersion
from clarion.ports.control import Control
from clarion.ports.drafting import BuildJob, Drafting
from clarion.ports.schemas import Schemas


async def source_of(body: TemplateBody, size_bytes: int) -> Source:
    """Return the source in a body, which is checked in a thread when it is large. Raises `InvalidField`."""
    return await asyncio.to_thread(check_source, body) if size_bytes > LOOP_BODY_BYTES_MAX else check_source(body)


class EditResult(NamedTuple):
    """A stored version and the warnings about it."""

    version: TemplateVersion
    warnings: tuple[TemplateWarning, ...]


class Editor:
    """Changes templates of a tenant. A version is built from its source each time it is made current, with the layout
    and partials at that time. `by` is the id of an API key."""

    def __init__(self, control: Control, drafting: Drafting, schemas: Schemas) -> None:
        self._control = control
        self._templates = control.templates
        self._drafting = drafting
        self._schemas = schemas

    async def save(
        self, tenant: str, key: str, source: Source, by: str, *, publish: bool = False, note: str = ""
    ) -> EditResult:
        """Store a source as a draft, or publish it at once. Raises `InvalidField` naming its first fault."""
        job = await self._job(tenant, key, source)
        built = await self._drafting.build(job)
        warnings = sample_warnings(source, built, self._schemas) + chance_warnings(built)
        if publish:
            warnings += required_variable_warnings(await self._templates.get(tenant, key), built)
        stored = await self._templates.save(tenant, key, source, built, by, publish=publish, note=note)
        if publish:
            await self._catch_up(tenant, job, stored)
        return EditResult(stored, warnings)

    async def publish(self, tenant: str, key: str, version: int | None, by: str, note: str) -> EditResult:
        """Make a version (None: the newest) the current one. Raises `NotFound`."""
        wanted = await self._templates.version(tenant, key, version)
        if wanted is None:
            raise missing(version)
        return await self._make_current(tenant, wanted, by, note)

    async def roll_back(self, tenant: str, key: str, version: int | None, by: str, note: str) -> EditResult:
        """Roll back to a published version, None for the previous one. Raises `NotFound`, and `Conflict` when there is
        none to roll back to."""
        if version is None:
            wanted = await self._templates.previous(tenant, key)
            if wanted is None and await self._templates.version(tenant, key) is not None:
                raise Conflict("there is no earlier published version", code="nothing_to_roll_back_to")
        else:
            wanted = await self._templates.version(tenant, key, version)
        if wanted is None:
            raise missing(version)
        if wanted.published_ms is None:
            raise Conflict("was never published; publish it instead", field="version", code="not_published")
        return await self._make_current(tenant, wanted, by, note)

    async def _make_current(self, tenant: str, wanted: TemplateVersion, by: str, note: str) -> EditResult:
        job = await self._job(tenant, wanted.key, wanted.source)
        built = await self._drafting.build(job)
        warnings = required_variable_warnings(await self._templates.get(tenant, wanted.key), built)
        key, version, source = wanted.key, wanted.version, wanted.source
        stored = await self._templates.publish(tenant, key, version, built, by, note, source=source)
        await self._catch_up(tenant, job, stored)
        return EditResult(stored, warnings)

    async def _job(self, tenant: str, key: str, source: Source) -> BuildJob:
        if source.variables is not None:
            await asyncio.to_thread(check_schema, source, self._schemas)
        return await dependencies(self._control, tenant, key, source)

    async def _catch_up(self, tenant: str, job: BuildJob, stored: TemplateVersion) -> None:
        """Rebuild a version if its layout or a partial was changed after it was read: that change may have searched for
        the templates that use it before this version was stored."""
        with suppress(InvalidField):  # the template built before can still be sent
            now = await dependencies(self._control, tenant, job.key, job.source)
            if now != job:
                await self._templates.rebuild(tenant, {(job.key, stored.version): await self._drafting.build(now)})


def missing(version: int | None) -> NotFound:
    """Return the error for a template or version that does not exist."""
    return NotFound("no such template") if version is None else NotFound("no such version", field="version")


def required_variable_warnings(before: Template | None, after: Template) -> tuple[TemplateWarning, ...]:
    """Return a warning for each variable that is required now and was not before."""
    if before is None:
        return ()
    new = sorted(_demands(after) - _demands(before))
    detail = "the previous version did not require this variable: requests without it are refused now"
    return tuple(TemplateWarning("new_variable", detail, f"data.{path}") for path in new)


def _demands(template: Template) -> set[str]:
    schema = template.schema
    return {*template.variables} if schema is None else {*template.variables, *required_paths(schema)}
