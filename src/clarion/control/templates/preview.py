"""Requests and responses of previews: rendered parts, their sizes, and findings."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from clarion.content.fit import payload_bytes
from clarion.control.templates.bodies import TemplateBody
from clarion.control.templates.warnings import Finding, locale_warnings, shortened, warnings_of
from clarion.domain.channel import DEVICE_CHANNELS, Channel
from clarion.domain.content import Category, Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits import KEY_CHARS_MAX
from clarion.domain.limits_content import PUSH_PAYLOAD_BYTES_MAX
from clarion.domain.locales import LOCALE_CHARS_MAX
from clarion.domain.sms import Size, measure
from clarion.domain.template import VersionNumber
from clarion.ports.drafting import Rendered


class PreviewIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A preview request: a stored `version` (the newest one when missing) or a `source` that is not stored, with data
    and user. Missing data and user are the sample's; `user` is the id of a stored user or the data of one that a
    template would read; `locale` overrides the user's own."""

    version: VersionNumber | None = None
    source: TemplateBody | None = None
    data: dict[str, Any] | None = None
    user: Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_CHARS_MAX)] | dict[str, Any] | None = None
    locale: Annotated[str, msgspec.Meta(max_length=LOCALE_CHARS_MAX)] = ""
    channels: Annotated[list[Channel], msgspec.Meta(min_length=1, max_length=len(Channel))] | None = None


class PushSize(msgspec.Struct, frozen=True):
    """The size of a push including the vendors' envelope; `shortened` is set when its body was cut to fit."""

    payload_bytes: int
    payload_bytes_max: int
    shortened: bool


class ChannelPreview(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rendered parts of a channel and their size in bytes."""

    parts: dict[str, Any]
    size_bytes: int
    sms: Size | None = None
    push: PushSize | None = None


class PreviewOut(msgspec.Struct, frozen=True):
    """The content that would be sent. `locale` is the one of the content; `errors` are the reasons why channels could
    not be rendered. `version` is 0 for a source that is not stored."""

    version: int
    locale: str
    channels: dict[str, ChannelPreview]
    errors: dict[str, str]
    warnings: list[Finding]


def channels_of(template: Template, wanted: list[Channel] | None) -> tuple[Channel, ...]:
    """Return the channels to show: those wanted, or by default those with content of their own. Raises `InvalidField`
    for a channel without content."""
    if wanted is None:
        return tuple(channel for channel in template.parts if channel not in template.derived)
    for index, channel in enumerate(wanted):
        if channel not in template.parts:
            known = ", ".join(template.parts)
            raise InvalidField(f"the template has content for {known} only", field=f"channels[{index}]")
    return tuple(dict.fromkeys(wanted))


def preview_of(rendered: Rendered, version: int, wanted_locale: str, category: Category | None) -> PreviewOut:
    """Return the response to a preview request."""
    return PreviewOut(
        version,
        rendered.locale,
        {channel.value: _channel(channel, parts) for channel, parts in rendered.parts.items()},
        {channel.value: reason for channel, reason in rendered.errors.items()},
        [
            *locale_warnings(rendered, wanted_locale),
            *warnings_of(rendered.parts, category),
        ],
    )


def _channel(channel: Channel, parts: dict[str, Any]) -> ChannelPreview:
    size = sum(_bytes(part) for part in parts.values())
    if channel is Channel.SMS:
        return ChannelPreview(parts, size, sms=measure(str(parts.get("body", ""))))
    if channel in DEVICE_CHANNELS:
        push = PushSize(payload_bytes(parts), PUSH_PAYLOAD_BYTES_MAX, shortened(parts))
        return ChannelPreview(parts, size, push=push)
    return ChannelPreview(parts, size)


def _bytes(part: Any) -> int:
    return len(part.encode()) if isinstance(part, str) else len(msgspec.json.encode(part))


def html_of(rendered: Rendered) -> str:
    """Return the e-mail's HTML. Raises `InvalidField` when there is none."""
    reason = rendered.errors.get(Channel.EMAIL)
    if reason is not None:
        raise InvalidField(reason, field="channels.email", code="render_failed")
    html: Mapping[str, Any] = rendered.parts.get(Channel.EMAIL, {})
    if "html" not in html:
        raise InvalidField("the template has no HTML to show", field="channels.email.html")
    return str(html["html"])
