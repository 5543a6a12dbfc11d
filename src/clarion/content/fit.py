"""Content limits of channels: rendered parts are made to fit, and parts that cannot fit are refused."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.fitting import Fitted, Unit
from clarion.domain.limits_content import (
    PUSH_ENVELOPE_BYTES,
    PUSH_PAYLOAD_BYTES_MAX,
    SUBJECT_CHARS_MAX,
    WHATSAPP_PARAMETER_CHARS_MAX,
    WHATSAPP_PARAMETERS_MAX,
)
from clarion.domain.sms import measure, smart
from clarion.ports.renderer import RenderError

ELLIPSIS: Final = "…"
_JOINER: Final = "\u200d"
_SHORT_CHARS: Final = 600
"""Parts of at most this many characters always fit a push: a character is at most six bytes of JSON."""
_SHORT_SMS_CHARS: Final = 35
_REGIONAL: Final = frozenset(map(chr, range(0x1F1E6, 0x1F200)))
_Fit: TypeAlias = Callable[[dict[str, Any], list[Fitted] | None], dict[str, Any]]
_WHATSAPP_BREAKS: Final = re.compile(r"[\r\n\t]| {5}")


_LINKS: Final = ("url", "image", "icon", "avatar")
_HARMLESS: Final = ("https://", "http://", "/")
_BLANKS: Final = re.compile(r"[\x00-\x20]")  # browsers ignore them in a scheme
_SCRIPT: Final = re.compile(r"(?:javascript|vbscript|data:(?!image/)).*", re.I)


def fit(channel: Channel, parts: dict[str, Any], fitted: list[Fitted] | None = None) -> dict[str, Any]:
    """Return the parts made to fit the channel: the body of a push shortened to its payload limit, typographic
    characters of an SMS replaced by the GSM alphabet, headlines within their limit. Shortened parts are added to
    `fitted`. Raises `RenderError` for parts that cannot be made to fit, and for links that are scripts."""
    if channel in _LINKING:
        check_links(parts)
    make = _FITS.get(channel)
    return make(parts, fitted) if make is not None else parts


def shorten(text: str, bytes_max: int) -> str:
    """Return the text, or its beginning and an ellipsis, in at most `bytes_max` bytes of JSON. It never cuts within a
    character, its accents, joiners and variation selectors, or a flag."""
    if _json_bytes(text) <= bytes_max:
        return text
    room = bytes_max - len(ELLIPSIS.encode())
    if room < 0:
        return ""
    # A character takes at least one byte, so at most `bytes_max` characters have to be measured.
    end = bisect_right(range(min(len(text), room + 1)), room, key=lambda count: _json_bytes(text[:count])) - 1
    return _beginning(text, end)


def _beginning(text: str, end: int) -> str:
    """Return at most the first `end` characters of a longer text and an ellipsis, cut at the boundary of a grapheme
    cluster."""
    while end and (_joins(text[end]) or text[end - 1] == _JOINER or _halves_a_flag(text, end)):
        end -= 1
    return text[:end].rstrip() + ELLIPSIS


def _json_bytes(text: str) -> int:
    return len(msgspec.json.encode(text)) - len('""')


def _joins(char: str) -> bool:
    """Return whether a character joins the one before it: marks, selectors, skin tones, the letters of a flag's tag."""
    code = ord(char)
    return (
        char == _JOINER
        or 0x1F3FB <= code <= 0x1F3FF
        or 0xE0020 <= code <= 0xE007F
        or 0x1160 <= code <= 0x11FF
        or unicodedata.category(char).startswith("M")
    )


def _halves_a_flag(text: str, end: int) -> bool:
    """Return whether a cut separates the two regional indicators of a flag."""
    first = end
    while first and text[first - 1] in _REGIONAL:
        first -= 1
    return text[end] in _REGIONAL and (end - first) % 2 == 1


def payload_bytes(parts: Mapping[str, Any]) -> int:
    """Return the size of a push's parts as JSON in bytes, including the vendors' envelope."""
    return PUSH_ENVELOPE_BYTES + len(msgspec.json.encode(parts))


def _push(parts: dict[str, Any], fitted: list[Fitted] | None) -> dict[str, Any]:
    short = sum(len(text) if type(text) is str else PUSH_PAYLOAD_BYTES_MAX for text in parts.values())
    if short < _SHORT_CHARS or payload_bytes(parts) <= PUSH_PAYLOAD_BYTES_MAX:
        return parts
    for name in ("body", "title"):
        if payload_bytes(parts) > PUSH_PAYLOAD_BYTES_MAX and name in parts:
            room = PUSH_PAYLOAD_BYTES_MAX - payload_bytes({**parts, name: ""})
            before, short_text = parts[name], shorten(parts[name], max(room, 0))
            parts = {**parts, name: short_text}
            _note(fitted, name, "bytes", _json_bytes(before), _json_bytes(short_text), PUSH_PAYLOAD_BYTES_MAX)
    if (over := payload_bytes(parts) - PUSH_PAYLOAD_BYTES_MAX) > 0:
        raise RenderError(f"the push is {over} bytes over its {PUSH_PAYLOAD_BYTES_MAX}, even without title and body")
    return parts


def _note(fitted: list[Fitted] | None, part: str, unit: Unit, before: int, after: int, most: int) -> None:
    if fitted is not None and after < before:
        fitted.append(Fitted("shorten", part, unit, before, after, most))


def check_links(parts: Mapping[str, Any]) -> None:
    """Raise `RenderError` when a link of a part would run a script in the app that follows it."""
    for name in _LINKS:
        if name in parts:
            _check_link(parts[name])
    actions = parts.get("actions")
    if isinstance(actions, list):
        for action in actions:
            if isinstance(action, dict):
                _check_link(action.get("url"))


def _check_link(link: Any) -> None:
    if isinstance(link, str) and not link.startswith(_HARMLESS) and _SCRIPT.match(_BLANKS.sub("", link)):
        raise RenderError("a link may not be a script")


def _sms(parts: dict[str, Any], _fitted: list[Fitted] | None) -> dict[str, Any]:
    body = parts.get("body")
    if not isinstance(body, str) or body.isascii():
        return parts
    return {**parts, "body": smart(body)}


def segmented(parts: Mapping[str, Any]) -> Fitted | None:
    """Return the split of an SMS into segments, None when it is one."""
    body = parts.get("body")
    # A character counts as two at most, so a text of half the limit of the shorter alphabet needs no counting.
    if not isinstance(body, str) or len(body) <= _SHORT_SMS_CHARS:
        return None
    size = measure(body)
    if size.segments == 1:
        return None
    return Fitted("split", "body", "segments", 1, size.segments, 1, size.encoding.upper())


def _headline(name: str) -> _Fit:
    def make(parts: dict[str, Any], fitted: list[Fitted] | None) -> dict[str, Any]:
        text = parts.get(name)
        if not isinstance(text, str) or len(text) <= SUBJECT_CHARS_MAX:
            return parts
        short = _beginning(text, SUBJECT_CHARS_MAX - 1)
        _note(fitted, name, "chars", len(text), len(short), SUBJECT_CHARS_MAX)
        return {**parts, name: short}

    return make


def _whatsapp(parts: dict[str, Any], _fitted: list[Fitted] | None) -> dict[str, Any]:
    """Return the parts. Raises `RenderError` for a parameter that WhatsApp refuses
    (https://developers.facebook.com/docs/whatsapp, error 132018): line breaks, tabs, more than four spaces in a row."""
    template = parts.get("template")
    if not isinstance(template, dict):
        return parts
    given = template.get("parameters", [])
    if not isinstance(given, list) or len(given) > WHATSAPP_PARAMETERS_MAX:
        raise RenderError(f"template.parameters has to be a list of at most {WHATSAPP_PARAMETERS_MAX} texts")
    for index, parameter in enumerate(given):
        text = str(parameter)
        if not text or len(text) > WHATSAPP_PARAMETER_CHARS_MAX or _WHATSAPP_BREAKS.search(text):
            raise RenderError(
                f"template.parameters[{index}] is empty, longer than {WHATSAPP_PARAMETER_CHARS_MAX} characters, "
                "or has a line break, a tab or more than four spaces in a row"
            )
    return parts


_LINKING: Final = frozenset((Channel.PUSH, Channel.WEBPUSH, Channel.INAPP))
_FITS: Final[Mapping[Channel, _Fit]] = {
    Channel.PUSH: _push,
    Channel.WEBPUSH: _push,
    Channel.SMS: _sms,
    Channel.EMAIL: _headline("subject"),
    Channel.INAPP: _headline("title"),
    Channel.WHATSAPP: _whatsapp,
}
