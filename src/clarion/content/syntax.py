"""Syntax checks of sources, part by part, so that line and column are those of the author's text."""

from collections.abc import Iterator, Mapping
from typing import Any

from clarion.content import messages, partials
from clarion.content.tags import Tag, blank, each_text, put_in
from clarion.domain.channel import Channel
from clarion.domain.content import PARTS
from clarion.domain.errors import InvalidField
from clarion.domain.template import Engine, Message, Partial, Source, Translation
from clarion.ports.renderer import Renderer, SyntaxProblem


def problem(error: SyntaxProblem, field: str) -> InvalidField:
    """Return a syntax problem as an error of a field."""
    place = f"line {error.line}, column {error.column}: " if error.column else f"line {error.line}: "
    return InvalidField(f"{place if error.line else ''}{error.detail}", field=field, code="template_syntax")


def check(text: Any, field: str, engine: Engine, renderer: Renderer, *, html: bool = False) -> None:
    """Compile a part by itself, with blanks in the place of messages and partials. Raises `InvalidField`."""

    def without(tag: Tag) -> str | None:
        put = messages.reference(tag, engine) or partials.reference(tag, engine)
        return blank(tag.text) if put else None

    try:
        renderer.compile(each_text(text, lambda leaf: put_in(leaf, engine, without)), html=html)
    except SyntaxProblem as error:
        raise problem(error, field) from error
    except InvalidField as error:
        raise InvalidField(error.detail, field=field, code=error.code) from None


def check_source(source: Source, renderer: Renderer) -> None:
    """Check all parts and messages of a template. Raises `InvalidField` with the path of the first fault."""
    _check_channels(source.channels, "channels", source.engine, renderer)
    if source.text is not None:
        check(source.text, "text", source.engine, renderer)
    check_translations(source.locales, "locales", source.engine, renderer)


def check_translations(translations: Mapping[str, Translation], field: str, engine: Engine, renderer: Renderer) -> None:
    """Check the translations of each locale. Raises `InvalidField`."""
    for locale, translation in translations.items():
        _check_channels(translation.channels, f"{field}.{locale}.channels", engine, renderer)
        for key, text in _texts(translation.messages):
            check(text, f"{field}.{locale}.messages.{key}", engine, renderer)


def check_partials(found: Mapping[str, Partial], engine: Engine, renderer: Renderer) -> None:
    """Check the partials in a template language. Raises `InvalidField`."""
    for key, partial in found.items():
        if partial.engine == engine:
            check(partial.source, f"partials.{key}", engine, renderer)


def _check_channels(
    channels: Mapping[Channel, Mapping[str, Any]], field: str, engine: Engine, renderer: Renderer
) -> None:
    for channel, parts in channels.items():
        if "html" in parts and "mjml" in parts:
            raise InvalidField("an e-mail is written in MJML or in HTML, not both", field=f"{field}.{channel}.html")
        for name, text in parts.items():
            declared = PARTS[channel].get(name)
            check(text, f"{field}.{channel}.{name}", engine, renderer, html=declared is not None and declared.html)


def _texts(found: Mapping[str, Message]) -> Iterator[tuple[str, str]]:
    for key, message in found.items():
        if isinstance(message, str):
            yield key, message
        else:
            yield from ((f"{key}.{form}", text) for form, text in message.items())
