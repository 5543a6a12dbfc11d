"""Validation of layouts and partials, and the probe templates that show whether one can be built."""

from collections.abc import Mapping
from typing import Final

from clarion.control.templates.bodies import TranslationBody
from clarion.control.templates.rules import check_locales
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.locales import canonical
from clarion.domain.template import Engine, Layout, Partial, Source, Translation

PROBE: Final = "probe"
"""Key of a probe template, and of the layout or partial that it tests."""
_LINE: Final = {"liquid": "{{% partial {0} %}}", "handlebars": "{{{{> {0}}}}}"}


def check_layout(
    mjml: str | None, html: str | None, text: str, engine: Engine, locale: str, locales: Mapping[str, TranslationBody]
) -> Layout:
    """Return a layout. Raises `InvalidField` naming the first invalid field."""
    if mjml is not None and html is not None:
        raise InvalidField("a layout is written in MJML or in HTML, not both", field="html")
    return Layout(text, mjml, html, engine, canonical(locale, "locale"), check_locales(locales, {}))


def check_places(found: Mapping[str, int]) -> None:
    """Raise `InvalidField` naming the part of a layout that does not have exactly one place for content."""
    for part, count in found.items():
        if count != 1:
            raise InvalidField(f"needs {{{{ content }}}} exactly once, and has it {count} times", field=part)


def layout_probe(layout: Layout) -> Source:
    """Return a probe template that uses a layout in all its locales."""
    parts = {"subject": PROBE, "text": PROBE}
    if layout.mjml is not None or layout.html is not None:
        parts["html"] = PROBE
    return Source(
        channels={Channel.EMAIL: parts},
        engine=layout.engine,
        layout=PROBE,
        locale=layout.locale,
        locales={tag: Translation() for tag in layout.locales if tag != layout.locale},
    )


def partial_probe(key: str, partial: Partial, messages: set[str]) -> Source:
    """Return a probe template that inserts a partial and has the messages that the partial refers to."""
    return Source(
        channels={Channel.SMS: {"body": _LINE[partial.engine].format(key)}},
        engine=partial.engine,
        locales={"en": Translation(dict.fromkeys(messages, PROBE))},
    )


def blame_source(error: InvalidField, prefix: str, fallback: str) -> InvalidField:
    """Return the fault of a probe as a fault of the layout or partial that it tests."""
    field = error.field or ""
    name = field.removeprefix(prefix) if field.startswith(prefix) and field != prefix else fallback
    return InvalidField(error.detail, field=name, code=error.code)
