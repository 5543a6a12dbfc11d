"""Validation of a template's source: channels, part names, required parts and one-line parts; locales and messages, and
the bounds of all of these."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clarion.control.templates.bodies import TemplateBody, TranslationBody
from clarion.domain.address import key, single_line
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.content import PARTS, REQUIRED_PARTS, Part
from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers
from clarion.domain.limits_content import (
    LOCALES_PER_TEMPLATE_MAX,
    MESSAGE_FORMS_MAX,
    MESSAGES_PER_LOCALE_MAX,
    SAMPLE_BYTES_MAX,
    SUBJECT_CHARS_MAX,
    TREE_DEPTH_MAX,
)
from clarion.domain.locales import canonical
from clarion.domain.template import Message, Sample, Source, Translation

Content = dict[Channel, dict[str, Any]]

_MESSAGE_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_OTHER: Final = "other"
_PLURALS: Final = frozenset({"zero", "one", "two", "few", "many", _OTHER})


def check_source(body: TemplateBody) -> Source:
    """Return the source in a body. Raises `InvalidField` naming the first invalid field."""
    channels = check_content(body.channels)
    check_sample(body.sample)
    checked = {
        "channels": channels,
        "layout": None if body.layout is None else key(body.layout, "layout"),
        "locale": canonical(body.locale, "locale"),
        "locales": check_locales(body.locales, channels),
    }
    return Source(**msgspec.structs.asdict(body) | checked)


def check_content(channels: Mapping[str, Mapping[str, Any]]) -> Content:
    """Return the parts by channel. Raises `InvalidField` naming the channel or part that is unknown, missing, ill-typed
    or, being a header, more than one line."""
    if not channels:
        raise InvalidField("must have content for at least one channel", field="channels")
    content = _parts_by_channel(channels, "channels")
    for channel, parts in content.items():
        for group in REQUIRED_PARTS[channel]:
            if not any(name in parts for name in group):
                raise InvalidField(f"needs {' or '.join(group)}", field=f"channels.{channel}")
    return content


def check_locales(locales: Mapping[str, TranslationBody], own: Content) -> dict[str, Translation]:
    """Return the translations by canonical tag. Raises `InvalidField`."""
    if len(locales) > LOCALES_PER_TEMPLATE_MAX:
        raise InvalidField(f"may be {LOCALES_PER_TEMPLATE_MAX} at most", field="locales")
    checked: dict[str, Translation] = {}
    for given, body in locales.items():
        path = f"locales.{given[:100]}"
        tag = canonical(given, path)
        if tag in checked:
            raise InvalidField(f"is {tag}, which is given already", field=path)
        channels = _parts_by_channel(body.channels, f"{path}.channels")
        for channel in channels.keys() - own.keys():
            raise InvalidField("replaces content that does not exist", field=f"{path}.channels.{channel}")
        checked[tag] = Translation(check_messages(body.messages, f"{path}.messages"), channels)
    return checked


def check_messages(messages: Mapping[str, Any], path: str) -> dict[str, Message]:
    """Return the messages of a locale. Raises `InvalidField` naming the one that is neither a text nor one for each plural
    category or value of a selector."""
    if len(messages) > MESSAGES_PER_LOCALE_MAX:
        raise InvalidField(f"may be {MESSAGES_PER_LOCALE_MAX} at most", field=path)
    for name, message in messages.items():
        field = f"{path}.{name[:100]}"
        if not _MESSAGE_KEY.fullmatch(name):
            raise InvalidField("must be named by 1-128 letters, digits, '_', '.' or '-'", field=field)
        if isinstance(message, dict):
            _check_forms(message, field)
        elif not isinstance(message, str):
            raise InvalidField("must be text, or texts by plural category or value", field=field)
    return dict(messages)


def check_sample(sample: Sample) -> None:
    """Raise `InvalidField` for a sample that is too large or could not be sent."""
    for name, values in (("data", sample.data), ("user", sample.user)):
        field = f"sample.{name}"
        numbers(values, field)
        if len(msgspec.json.encode(values)) > SAMPLE_BYTES_MAX:
            raise InvalidField(f"is larger than {SAMPLE_BYTES_MAX} bytes", field=field)


def _check_forms(forms: Mapping[str, Any], field: str) -> None:
    if _OTHER not in forms:
        raise InvalidField("needs a text for 'other'", field=field)
    if len(forms) > MESSAGE_FORMS_MAX:
        raise InvalidField(f"may have {MESSAGE_FORMS_MAX} texts at most", field=field)
    plural = forms.keys() & (_PLURALS - {_OTHER})
    for name, text in forms.items():
        if not isinstance(text, str):
            raise InvalidField("must be text", field=f"{field}.{name[:100]}")
        if not _MESSAGE_KEY.fullmatch(name):
            raise InvalidField("is not a value to choose a text by", field=f"{field}.{name[:100]}")
        if plural and name not in _PLURALS:
            raise InvalidField("is not a plural category, while other forms here are", field=f"{field}.{name[:100]}")


def _parts_by_channel(channels: Mapping[str, Mapping[str, Any]], path: str) -> Content:
    return {
        (channel := _channel(name, path)): _check_parts(channel, parts, f"{path}.{channel}")
        for name, parts in channels.items()
    }


def _channel(name: str, path: str) -> Channel:
    if name not in CHANNELS:
        raise InvalidField(f"no such channel: {name[:100]}", field=f"{path}.{name[:100]}", code="unknown_channel")
    return Channel(name)


def _check_parts(channel: Channel, parts: Mapping[str, Any], path: str) -> dict[str, Any]:
    for name, source in parts.items():
        if name not in PARTS[channel]:
            known = ", ".join(PARTS[channel])
            raise InvalidField(f"is not a part of {channel} (which are {known})", field=f"{path}.{name[:100]}")
        _check_part(PARTS[channel][name], source, f"{path}.{name}")
    return dict(parts)


def _check_part(part: Part, source: Any, field: str) -> None:
    if part.kind == "tree" and isinstance(source, (dict, list)):
        numbers(source, field)
        _check_depth(source, field)
        return
    if not isinstance(source, str):
        raise InvalidField("must be text" if part.kind != "tree" else "must be text, an object or a list", field=field)
    if part.kind == "line":
        # Tags cannot span lines here either, so that headers have a single rule.
        single_line(source, field, SUBJECT_CHARS_MAX)


def _check_depth(tree: Any, field: str) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > TREE_DEPTH_MAX:
            raise InvalidField(f"is nested deeper than {TREE_DEPTH_MAX} levels", field=field)
        members = [node.values() if isinstance(node, dict) else node for node in level]
        level = [member for group in members for member in group if isinstance(member, (dict, list))]
