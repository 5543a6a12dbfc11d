"""Storing, publishing and going back: what is built and checked before a version is stored, and what is worth a warning."""

from contextlib import suppress
from typing import NamedTuple

from clarion.control.templates.ingredients import ingredients
from clarion.control.templates.schema import chance_warnings, check_schema, sample_warnings
from clarion.control.templates.shapes import Warned
from clarion.domain.content import Template
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.schema import required_paths
from clarion.domain.template import Source, TemplateVersion
from clarion.ports.control import Control
from clarion.ports.drafting import BuildJob, Drafting
from clarion.ports.schemas import Schemas


class Edited(NamedTuple):
    """A version as it is stored now, and what is worth a warning about it."""

    version: TemplateVersion
    warnings: tuple[Warned, ...]


class Editor:
    """Changes templates of a tenant. A version is built from its source each time it is made current, with the layout and
    partials of then. `by` is the id of an API key."""

    def __init__(self, control: Control, drafting: Drafting, schemas: Schemas) -> None:
        self._control = control
        self._templates = control.templates
        self._drafting = drafting
        self._schemas = schemas

    async def save(
        self, tenant: str, key: str, source: Source, by: str, *, publish: bool = False, note: str = ""
    ) -> Edited:
        """Store a source as a draft, or publish it at once. Raises `InvalidField` naming what is wrong with it."""
        job = await self._job(tenant, key, source)
        built = await self._drafting.build(job)
        warnings = sample_warnings(source, built, self._schemas) + chance_warnings(built)
        if publish:
            warnings += demanded(await self._templates.get(tenant, key), built)
        stored = await self._templates.save(tenant, key, source, built, by, publish=publish, note=note)
        if publish:
            await self._catch_up(tenant, job, stored)
        return Edited(stored, warnings)

    async def publish(self, tenant: str, key: str, version: int | None, by: str, note: str) -> Edited:
        """Make a version (None: the newest) the current one. Raises `NotFound`."""
        wanted = await self._templates.version(tenant, key, version)
        if wanted is None:
            raise missing(version)
        return await self._make_current(tenant, wanted, by, note)

    async def roll_back(self, tenant: str, key: str, version: int | None, by: str, note: str) -> Edited:
        """Go back to a published version, None for the one before. Raises `NotFound`, and `Conflict` when there is none to
        go back to."""
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

    async def _make_current(self, tenant: str, wanted: TemplateVersion, by: str, note: str) -> Edited:
        job = await self._job(tenant, wanted.key, wanted.source)
        built = await self._drafting.build(job)
        warnings = demanded(await self._templates.get(tenant, wanted.key), built)
        key, version, source = wanted.key, wanted.version, wanted.source
        stored = await self._templates.publish(tenant, key, version, built, by, note, source=source)
        await self._catch_up(tenant, job, stored)
        return Edited(stored, warnings)

    async def _job(self, tenant: str, key: str, source: Source) -> BuildJob:
        check_schema(source, self._schemas)
        return await ingredients(self._control, tenant, key, source)

    async def _catch_up(self, tenant: str, job: BuildJob, stored: TemplateVersion) -> None:
        """Build a version again if its layout or a partial was changed after it was read: whoever changed it may have looked
        for templates that use it before this version was there."""
        with suppress(InvalidField):  # what was built before can still be sent
            now = await ingredients(self._control, tenant, job.key, job.source)
            if now != job:
                await self._templates.rebuild(tenant, {(job.key, stored.version): await self._drafting.build(now)})


def missing(version: int | None) -> NotFound:
    """Return the error for a template or version that is not there."""
    return NotFound("no such template") if version is None else NotFound("no such version", field="version")


def demanded(before: Template | None, after: Template) -> tuple[Warned, ...]:
    """Return a warning for each variable that requests have to bring now and did not have to before."""
    if before is None:
        return ()
    new = sorted(_demands(after) - _demands(before))
    detail = "the version before did not need this variable: requests that leave it out are refused now"
    return tuple(Warned("new_variable", detail, f"data.{path}") for path in new)


def _demands(template: Template) -> set[str]:
    schema = template.schema
    return {*template.variables} if schema is None else {*template.variables, *required_paths(schema)}
