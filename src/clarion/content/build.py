"""Building: turns the source of a template into the template that is sent, for each locale and channel.

Messages, partials and layouts are inserted as text, then MJML is compiled and styles are inlined, then everything is
compiled once to check that it can be rendered. Only rendering remains when a delivery is sent.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from clarion.content.email_layout import LocalizedLayout, blank_layout, email, localized_layout
from clarion.content.fallback import fallback
from clarion.content.messages import Messages
from clarion.content.partials import Partials
from clarion.content.reads import Reads
from clarion.content.syntax import check, check_partials, check_source, check_translations, problem
from clarion.content.tags import put_in
from clarion.content.trees import structured
from clarion.domain.address import single_line
from clarion.domain.channel import Channel
from clarion.domain.content import PARTS, Part, Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import BUILT_BYTES_MAX, SUBJECT_CHARS_MAX, TEMPLATE_BYTES_MAX
from clarion.domain.locales import chain
from clarion.domain.template import Engine, Source, Translation
from clarion.ports.drafting import BuildJob
from clarion.ports.renderer import Engines, Renderer, SyntaxProblem

Content = dict[Channel, dict[str, Any]]

_PLAIN = Part()
_BODIES = ("html", "mjml")


def build(job: BuildJob, engines: Engines) -> Template:
    """Return the template built from a source (version 0). Raises `InvalidField` with the path of the fault: a part or
    message of the source, `layout.<part>`, or `partials.<key>`."""
    source = job.source
    renderer = engines.get(source.engine)
    if renderer is None:
        raise InvalidField(f"no such template language: {source.engine}", field="engine")
    if len(msgspec.json.encode(job)) > TEMPLATE_BYTES_MAX:
        raise InvalidField(f"is longer than {TEMPLATE_BYTES_MAX} bytes with its layout and partials", field="channels")
    _check(job, renderer)
    builder = _Builder(job, renderer)
    contents = {locale: builder.content(locale) for locale in dict.fromkeys((source.locale, *source.locales))}
    if len(msgspec.json.encode(contents)) > BUILT_BYTES_MAX:
        raise InvalidField(f"is longer than {BUILT_BYTES_MAX} bytes when it is built", field="channels")
    variables, schema = builder.reads.variables(source)
    return Template(
        key=job.key,
        version=0,
        category=source.category,
        parts=contents.pop(source.locale),
        variables=variables,
        uses_user=builder.reads.uses_user,
        engine=source.engine,
        locale=source.locale,
        locales=contents,
        derived=tuple(channel for channel in Channel if source.text is not None and channel not in source.channels),
        schema=schema,
        chanced=builder.reads.chanced(source),
    )


def _check(job: BuildJob, renderer: Renderer) -> None:
    source, layout = job.source, job.layout
    if source.layout is not None and layout is None:
        raise InvalidField(f"there is no layout {source.layout}", field="layout", code="unknown_layout")
    if layout is not None and layout.engine != source.engine:
        detail = f"layout {source.layout} is written in {layout.engine}, the template in {source.engine}"
        raise InvalidField(detail, field="layout", code="engine_mismatch")
    check_partials(job.partials, source.engine, renderer)
    if layout is not None:
        for part in ("mjml", "html", "text"):
            check(
                blank_layout(getattr(layout, part), source.engine),
                f"layout.{part}",
                source.engine,
                renderer,
                html=part != "text",
            )
        check_translations(layout.locales, "layout.locales", source.engine, renderer)
    check_source(source, renderer)


class _Builder:
    """Builds one locale after the other and records the variables read."""

    def __init__(self, job: BuildJob, renderer: Renderer) -> None:
        self._job = job
        self._renderer = renderer
        self._partials = Partials(job.partials, job.source.engine)
        self._seen: set[tuple[str, Part]] = set()
        self.reads = Reads()

    def content(self, locale: str) -> Content:
        """Return all parts in a locale. Raises `InvalidField`."""
        job, source = self._job, self._job.source
        messages = Messages(source.locales, locale, source.locale, source.engine)
        fields: dict[tuple[Channel, str], str] = {}
        content: Content = {}
        for channel, name, part, field in _merged(source, locale):
            if channel is Channel.EMAIL and name in _BODIES:
                for other in _BODIES:
                    content.setdefault(channel, {}).pop(other, None)
            declared = PARTS[channel].get(name, _PLAIN)
            shaped = structured(part, field) if declared.kind == "tree" else part
            content.setdefault(channel, {})[name] = self._put(shaped, messages, field, html=declared.html)
            fields[channel, name] = field
        if source.text is not None:
            text = self._put(source.text, messages, "text")
            for channel, parts in fallback(job.key, text, content, self._compiles).items():
                content.setdefault(channel, parts)
        if Channel.EMAIL in content:
            content[Channel.EMAIL] = self._email(content[Channel.EMAIL], locale, fields)
        for channel, parts in content.items():
            for name, part in parts.items():
                self._compile(part, PARTS[channel].get(name, _PLAIN), _field(fields, channel, name))
        return content

    def _put(self, part: Any, messages: Messages, field: str, *, html: bool = False) -> Any:
        try:
            return messages.put_into(self._partials.put_into(part), html=html)
        except InvalidField as error:
            raise InvalidField(error.detail, field=field, code=error.code) from None

    def _email(self, parts: dict[str, Any], locale: str, fields: Mapping[tuple[Channel, str], str]) -> dict[str, Any]:
        layout, engine = self._job.layout, self._job.source.engine
        frame = LocalizedLayout() if layout is None else localized_layout(layout, locale, self._partials)
        try:
            return email(parts, engine, frame, locale)
        except InvalidField as error:
            field = _field(fields, Channel.EMAIL, error.field or "html")
            raise InvalidField(error.detail, field=field, code=error.code) from None

    def _compile(self, part: Any, declared: Part, field: str) -> None:
        if isinstance(part, str):
            if (part, declared) in self._seen:  # channels without content of their own have equal parts
                return
            self._seen.add((part, declared))
            if declared.kind == "line":
                _check_line(part, self._job.source.engine, field)
        try:
            self._renderer.compile(part, html=declared.html)
            usage = self._renderer.usage(part)
        except SyntaxProblem as error:
            detail = SyntaxProblem(f"with its messages, partials and layout inserted: {error.detail}", error.line)
            raise problem(detail, field) from error
        self.reads.note(usage, self._job.source, field)

    def _compiles(self, text: str) -> bool:
        try:
            self._renderer.compile(text, html=False)
        except SyntaxProblem:
            return False
        return True


def _merged(source: Source, locale: str) -> Iterator[tuple[Channel, str, Any, str]]:
    """Yield channels, names and parts with their field paths: those of the template, then the overrides of the locale's
    parents and of the locale itself."""
    tags = dict.fromkeys((source.locale, *reversed(list(chain(locale)))))
    overrides = ((tag, source.locales[tag]) for tag in tags if tag in source.locales)
    layers = [
        ("channels", Translation(channels=source.channels)),
        *((f"locales.{tag}.channels", t) for tag, t in overrides),
    ]
    for path, layer in layers:
        for channel, parts in layer.channels.items():
            for name, part in parts.items():
                yield channel, name, part, f"{path}.{channel}.{name}"


def _check_line(part: str, engine: Engine, field: str) -> None:
    """Raise `InvalidField` for a part that insertions have made more than one line, or too long."""
    single_line(put_in(part, engine, lambda _tag: ""), field, SUBJECT_CHARS_MAX)


def _field(fields: Mapping[tuple[Channel, str], str], channel: Channel, name: str) -> str:
    """Return the source field of a built part: HTML may come from MJML, and text from HTML."""
    if channel is Channel.EMAIL:
        for candidate in (name, "mjml", "html", "text"):
            if (channel, candidate) in fields and (name in ("html", "text", "preheader") or candidate == name):
                return fields[channel, candidate]
    return fields.get((channel, name), "text")
