"""The starter catalogue as installed: read, built and rendered with the sample data of each template."""

from functools import cache
from pathlib import Path
from typing import Any, Final

import clarion
from clarion.app.wiring.engines import template_engines
from clarion.content.build import build
from clarion.content.compiled import render_job
from clarion.content.files.reading import Reading
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.template import Sample, Source
from clarion.ports.drafting import BuildJob, Rendered, RenderJob

ROOT: Final = Path(clarion.__file__).parent / "catalogue"
KEYS: Final = tuple(sorted(folder.name for folder in (ROOT / "templates").iterdir()))
LOCALES: Final = ("en", "es", "de")
CHANNELS: Final = (Channel.EMAIL, Channel.PUSH, Channel.SMS, Channel.INAPP)
AT_MS: Final = 1_773_133_200_000
"""When all of this is sent: 10 March 2026, 9 o'clock in UTC."""
ENGINES: Final = template_engines()


@cache
def reading() -> Reading:
    """Return the whole folder."""
    paths = (path for path in ROOT.rglob("*") if path.is_file())
    return Reading({path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths})


@cache
def built(key: str) -> Template:
    """Return a built template."""
    return built_of(key, reading().folder.templates[key])


def built_of(key: str, source: Source) -> Template:
    """Return the template built from a source with the layouts and partials of the catalogue."""
    folder = reading().folder
    layout = folder.layouts[source.layout] if source.layout else None
    return build(BuildJob(key, source, layout, folder.partials), ENGINES)


def rendered(key: str, locale: str, user: dict[str, Any] | None = None) -> dict[Channel, dict[str, Any]]:
    """Return the parts of all channels with sample data, for the sample's user or another one."""
    if user is not None:
        return _rendered(built(key), reading().folder.templates[key].sample, locale, user)
    return {channel: dict(part) for channel, part in _for_the_sample(key, locale).items()}


@cache
def _for_the_sample(key: str, locale: str) -> dict[Channel, dict[str, Any]]:
    return _rendered(built(key), reading().folder.templates[key].sample, locale, None)


def rendered_of(key: str, source: Source, locale: str) -> dict[Channel, dict[str, Any]]:
    """Return the same of a changed source."""
    return _rendered(built_of(key, source), source.sample, locale, None)


def tried(template: Template, sample: Sample, locale: str, user: dict[str, Any] | None = None) -> Rendered:
    """Return the result of rendering a template with a sample, errors included."""
    brand = reading().folder.brand
    assert brand is not None
    job = RenderJob(
        template=template,
        channels=CHANNELS,
        data=sample.data,
        user={**sample.user, "locale": locale} if user is None else user,
        locale=locale,
        zone=sample.user.get("zone", "UTC"),
        at_ms=AT_MS,
        brand=brand,
    )
    return render_job(job, ENGINES)


def _rendered(
    template: Template, sample: Sample, locale: str, user: dict[str, Any] | None
) -> dict[Channel, dict[str, Any]]:
    done = tried(template, sample, locale, user)
    assert not done.errors
    assert done.locale == locale
    return done.parts
