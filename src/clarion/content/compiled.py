"""One channel of a template in one locale, compiled, ready to render with data."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

import msgspec

from clarion.content.fit import fit
from clarion.domain.address import single_line
from clarion.domain.channel import Channel
from clarion.domain.content import PARTS, Part, Template
from clarion.domain.errors import InvalidField
from clarion.domain.fitting import Fitted
from clarion.domain.limits_content import RENDER_OUTPUT_BYTES_MAX
from clarion.domain.locales import best, spoken
from clarion.domain.template import Brand
from clarion.ports.drafting import Rendered, RenderJob
from clarion.ports.renderer import Engines, Render, RenderError, SyntaxProblem

_BRAND: Final = re.compile(r"(?<!\{)\{\{-?\s*brand\.(\w+)\s*-?\}\}(?!\})")
_LINK: Final = "unsubscribe_url"
_PLAIN: Final = Part()
_SENDER: Final = {"from_name": "sender_name", "reply_to": "reply_to"}
"""Parts of an e-mail that default to a field of the brand."""


class Compiled:
    """Compiled parts with their brand. `locale` is the content's own."""

    def __init__(self, channel: Channel, locale: str, renders: dict[str, Render], brand: Brand) -> None:
        self.channel = channel
        self.locale = locale
        self._renders = renders
        self._brand = {**msgspec.structs.asdict(brand), _LINK: ""}

    def render(
        self,
        data: Mapping[str, Any],
        user: Mapping[str, Any],
        locale: str,
        zone: str,
        at_ms: int,
        unsubscribe_url: str = "",
        fitted: list[Fitted] | None = None,
    ) -> dict[str, Any]:
        """Return the rendered parts, with dates, numbers and money in `locale` and `zone`; `at_ms` is the only clock of
        a template. Templates read the link as `brand.unsubscribe_url`. Changes made to fit a limit are added to
        `fitted`. Raises `RenderError`."""
        context = {
            **data,
            "data": data,
            "user": user,
            "brand": {**self._brand, _LINK: unsubscribe_url} if unsubscribe_url else self._brand,
            "_locale": locale,
            "_zone": zone,
            "_at_ms": at_ms,
        }
        return fit(self.channel, {part: render(context) for part, render in self._renders.items()}, fitted)


def content_of(template: Template, locale: str) -> dict[Channel, dict[str, Any]]:
    """Return the parts by channel in one of the template's locales."""
    return template.parts if locale == template.locale else template.locales[locale]


def locale_for(template: Template, wanted: str, tenant_locale: str) -> str:
    """Return the template's best locale for the wanted one: `pt-BR -> pt -> tenant default -> the template's own`."""
    if not template.locales:
        return template.locale
    available = {template.locale, *template.locales}
    return best(wanted, available, tenant_locale) or template.locale


def compile_channel(template: Template, locale: str, channel: Channel, brand: Brand, engines: Engines) -> Compiled:
    """Return the compiled parts of a channel. Raises `RenderError` when there are none, or when one does not parse."""
    source = content_of(template, locale).get(channel)
    if source is None:
        raise RenderError(f"template {template.key} has no {channel} part")
    engine = engines[template.engine]
    renders: dict[str, Render] = {}
    for part, text in source.items():
        declared = PARTS[channel].get(part, _PLAIN)
        try:
            render = engine.compile(_branded(text, brand, html=declared.html), html=declared.html)
        except SyntaxProblem as error:
            raise RenderError(f"{channel}.{part} line {error.line}: {error.detail}") from error
        renders[part] = _one_line(render, f"{channel}.{part}") if declared.kind == "line" else render
    if channel is Channel.EMAIL:
        for part, field in _SENDER.items():
            if part not in renders and (value := getattr(brand, field)):
                renders[part] = _fixed(value)
    return Compiled(channel, locale, renders, brand)


def render_job(job: RenderJob, engines: Engines) -> Rendered:
    """Return the rendered channels of a job; an error affects its own channel only."""
    locale = locale_for(job.template, job.locale, job.tenant_locale)
    parts: dict[Channel, dict[str, Any]] = {}
    errors: dict[Channel, str] = {}
    for channel in job.channels:
        try:
            compiled = compile_channel(job.template, locale, channel, job.brand, engines)
            parts[channel] = compiled.render(job.data, job.user, spoken(job.locale, locale), job.zone, job.at_ms)
        except RenderError as error:
            errors[channel] = str(error)
    return Rendered(locale, parts, errors)


def _fixed(value: str) -> Render:
    return lambda _context: value


def _branded(source: Any, brand: Brand, *, html: bool) -> Any:
    """Return the source with fields of the brand inserted, so that they need no lookup for each recipient."""
    if isinstance(source, str):
        return _BRAND.sub(lambda match: _brand_text(match, brand, html=html), source) if "brand." in source else source
    if isinstance(source, Mapping):
        return {key: _branded(value, brand, html=html) for key, value in source.items()}
    if isinstance(source, list | tuple):
        return [_branded(value, brand, html=html) for value in source]
    return source


def _brand_text(match: re.Match[str], brand: Brand, *, html: bool) -> str:
    value = getattr(brand, match[1], None) if match[1] in Brand.__struct_fields__ else None
    if not isinstance(value, str) or "{" in value:
        return match[0]  # left unchanged; the template language reports it
    return escape(value) if html else value


def _one_line(render: Render, part: str) -> Render:
    """Return the render function of a part that becomes a header: it raises `RenderError` when data adds further
    lines."""

    def checked(context: Mapping[str, Any]) -> str:
        try:
            return single_line(render(context), part, RENDER_OUTPUT_BYTES_MAX)
        except InvalidField as error:
            raise RenderError(f"{part} {error.detail}") from None

    return checked
