"""Whether a folder of templates would do: everything is built, and rendered with its sample data in all its locales."""

from collections.abc import Iterator
from typing import Final

from clarion.backends.jsonschema.schemas import JsonSchemas
from clarion.content.build import build
from clarion.content.compiled import render_job
from clarion.content.files.folder import FileProblem, Folder, Place
from clarion.content.files.reading import Reading
from clarion.control.templates.warnings import warnings_of
from clarion.domain.content import Category, Template
from clarion.domain.errors import CallerError
from clarion.domain.template import Brand, Source
from clarion.ports.drafting import BuildJob, RenderJob
from clarion.ports.renderer import Engines

SAMPLE_AT_MS: Final = 1_767_258_000_000
"""When samples are taken to be made: 2026-01-01 09:00 UTC."""
SAMPLE_ZONE: Final = "UTC"


class Checking:
    """Checks the templates of a folder one by one."""

    def __init__(self, reading: Reading, engines: Engines) -> None:
        self._reading = reading
        self._engines = engines
        self._schemas = JsonSchemas()
        self.warnings: list[str] = []
        """What is unwise in what was rendered so far."""

    def problems(self) -> Iterator[FileProblem]:
        """Yield everything that has to be mended, templates in the order of their keys."""
        yield from self._reading.problems
        for key, source in sorted(self._reading.folder.templates.items()):
            yield from self._template(key, source)

    def _template(self, key: str, source: Source) -> Iterator[FileProblem]:
        places = self._reading.places["template", key]
        try:
            template = build(job_of(self._reading.folder, key, source), self._engines)
        except CallerError as error:
            yield FileProblem(*places.explain(error.field, error.detail))
            return
        if template.schema is not None and (fault := self._schemas.check(template.schema, source.sample.data)):
            field = ".".join(filter(None, ("sample.data", fault.path)))
            yield FileProblem(places.of("sample"), f"{field}: {fault.detail}")
            return
        for where, detail in self._renders(template, source):
            yield FileProblem(Place(f"templates/{key}"), f"{where}: {detail}")

    def _renders(self, template: Template, source: Source) -> Iterator[tuple[str, str]]:
        for locale in sorted({template.locale, *template.locales}):
            done = render_job(sample_job(template, source, locale, self._reading.folder.brand), self._engines)
            for channel, detail in done.errors.items():
                yield f"{channel} in {locale}", detail
            own = {channel: parts for channel, parts in done.parts.items() if channel not in template.derived}
            for found in warnings_of(own, self._category(template.category)):
                where = f"templates/{template.key}: {found.channel}.{found.field} in {locale}"
                self.warnings.append(f"{where}: {found.detail}")

    def _category(self, key: str | None) -> Category | None:
        found = self._reading.folder.categories.get(key or "")
        return None if key is None or found is None else Category(key, found.critical, found.lane)


def job_of(folder: Folder, key: str, source: Source) -> BuildJob:
    """Return what a template is built of. Raises `InvalidField` when its layout is not in the folder."""
    layout = None
    if source.layout is not None:
        layout = folder.layouts.get(source.layout)
        if layout is None:
            raise CallerError(f"there is no layout {source.layout} in this folder", field="layout")
    return BuildJob(key, source, layout, folder.partials)


def sample_job(template: Template, source: Source, locale: str, brand: Brand | None) -> RenderJob:
    """Return the rendering of all channels of a template with its sample data."""
    sample = source.sample
    user = {"locale": locale, **sample.user}
    zone = str(sample.user.get("zone", SAMPLE_ZONE))
    return RenderJob(template, tuple(template.parts), sample.data, user, locale, zone, SAMPLE_AT_MS, brand or Brand())
