"""Checks a folder of templates: everything is built, and rendered with its sample data in all its locales."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec

from clarion.app.cli.template_files.definitions import partials_of
from clarion.content.build import build
from clarion.content.compiled import render_job
from clarion.content.email_layout import places
from clarion.content.files.folder import FileProblem
from clarion.content.files.reading import Reading
from clarion.content.messages import used_keys
from clarion.control.brand.rules import check_brand
from clarion.control.layouts.rules import PROBE, blame_source, check_places, layout_probe, partial_probe
from clarion.control.templates.bodies import TemplateBody
from clarion.control.templates.rules import check_source
from clarion.control.templates.warnings import warnings_of
from clarion.domain.content import Category, Template
from clarion.domain.errors import CallerError, InvalidField
from clarion.domain.template import Brand, Layout, Partial, Source
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.ports.drafting import BuildJob, RenderJob
from clarion.ports.renderer import Engines
from clarion.ports.web import invalid_field

SAMPLE_AT_MS: Final = 1_767_258_000_000
"""The creation time of samples: 2026-01-01 09:00 UTC."""
SAMPLE_ZONE: Final = "UTC"


class FolderCheck:
    """Checks the definitions of a folder one by one. Sample data is valid only if every channel renders with it."""

    def __init__(self, reading: Reading, engines: Engines) -> None:
        self._reading = reading
        self._engines = engines
        self._schemas = JsonSchemas()
        self._built: dict[str, Template] = {}
        self.warnings: list[str] = []
        """Warnings about the content rendered so far."""

    def problems(self) -> Iterator[FileProblem]:
        """Yield all problems: files that cannot be read first, then by kind and key."""
        yield from self._reading.problems
        folder = self._reading.folder
        if folder.brand is not None:
            yield from self._asked("brand", "", partial(check_brand, folder.brand))
        for key, one in sorted(folder.partials.items()):
            yield from self._asked("partial", key, partial(self._try_partial, key, one))
        for key, layout in sorted(folder.layouts.items()):
            yield from self._asked("layout", key, partial(self._try_layout, layout))
        for key, source in sorted(folder.templates.items()):
            yield from self._asked("template", key, partial(self._try_template, key, source))
            if key in self._built:
                yield from self._rendered(self._built[key], source)

    def _asked(self, kind: str, key: str, ask: Callable[[], object]) -> Iterator[FileProblem]:
        try:
            ask()
        except CallerError as error:
            yield self._reading.problem(kind, key, error.field, error.detail)
        except msgspec.ValidationError as error:
            wrong = invalid_field(error)
            yield self._reading.problem(kind, key, wrong.field, wrong.detail)

    def _try_partial(self, key: str, one: Partial) -> None:
        probe = partial_probe(key, one, used_keys([one.source], one.engine))
        try:
            self._build(PROBE, probe)
        except InvalidField as error:
            raise blame_source(error, f"partials.{key}", "source") from None

    def _try_layout(self, layout: Layout) -> None:
        texts = {part: getattr(layout, part) for part in ("mjml", "html", "text")}
        check_places({part: places(text, layout.engine) for part, text in texts.items() if text is not None})
        try:
            self._build(PROBE, layout_probe(layout), layout)
        except InvalidField as error:
            raise blame_source(error, "layout.", "text") from None

    def _try_template(self, key: str, source: Source) -> None:
        check_source(msgspec.convert(msgspec.to_builtins(source), TemplateBody))
        layout = None
        if source.layout is not None:
            layout = self._reading.folder.layouts.get(source.layout)
            if layout is None:
                raise InvalidField(f"there is no layout {source.layout} in this folder", field="layout")
        template = self._build(key, source, layout)
        schema = template.schema
        if schema is not None and (fault := self._schemas.fault_of(schema)):
            raise InvalidField(f"{fault.path}: {fault.detail}", field="variables")
        if schema is not None and (fault := self._schemas.check(schema, source.sample.data)):
            raise InvalidField(fault.detail, field=".".join(filter(None, ("sample.data", fault.path))))
        self._built[key] = template

    def _build(self, key: str, source: Source, layout: Layout | None = None) -> Template:
        partials = partials_of(self._reading.folder, source, layout)
        return build(BuildJob(key, source, layout, partials), self._engines)

    def _rendered(self, template: Template, source: Source) -> Iterator[FileProblem]:
        for locale in sorted({template.locale, *template.locales}):
            done = render_job(sample_job(template, source, locale, self._reading.folder.brand), self._engines)
            for channel, detail in done.errors.items():
                yield self._reading.problem("template", template.key, f"channels.{channel}", f"in {locale}: {detail}")
            own = {channel: parts for channel, parts in done.parts.items() if channel not in template.derived}
            for found in warnings_of(own, self._category(template.category)):
                where = f"templates/{template.key}: {found.channel}.{found.field} in {locale}"
                self.warnings.append(f"{where}: {found.detail}")

    def _category(self, key: str | None) -> Category | None:
        found = self._reading.folder.categories.get(key or "")
        return None if key is None or found is None else Category(key, found.critical, found.priority)


def sample_job(template: Template, source: Source, locale: str, brand: Brand | None) -> RenderJob:
    """Return the rendering of all channels of a template with its sample data."""
    sample = source.sample
    user = {"locale": locale, **sample.user}
    zone = str(sample.user.get("zone", SAMPLE_ZONE))
    return RenderJob(template, tuple(template.parts), sample.data, user, locale, zone, SAMPLE_AT_MS, brand or Brand())
