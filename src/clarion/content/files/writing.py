"""Writing of template folders. Equal definitions always result in the same bytes."""

import json
from typing import Any, Final

import msgspec

from clarion.content.files.folder import (
    BRAND_FILE,
    CATEGORIES_FILE,
    LAYOUT_FILE,
    PARTIAL_ENDINGS,
    SAMPLE_FILE,
    SCHEMA_FILE,
    TEMPLATE_FILE,
    Files,
    Folder,
)
from clarion.domain.channel import Channel
from clarion.domain.content import PARTS
from clarion.domain.template import Layout, Sample, Source, Translation
from clarion.domain.toml_text import document

INLINE_CHARS_MAX: Final = 200
"""Longer texts of several lines get a file of their own."""
_INLINE_LEVELS_MAX: Final = 2
_ENDINGS: Final = {"mjml": "mjml", "html": "html", "text": "txt"}
_OWN_FILES: Final = frozenset({"mjml", "html"})


def written(folder: Folder) -> Files:
    """Return the files of a folder."""
    files: Files = {}
    for key, source in folder.templates.items():
        files |= template_files(key, source)
    for key, layout in folder.layouts.items():
        files |= layout_files(key, layout)
    for key, partial in folder.partials.items():
        files[f"partials/{key}{PARTIAL_ENDINGS[partial.engine]}"] = _ended(partial.source)
    if folder.brand is not None:
        files[BRAND_FILE] = document(_said(folder.brand))
    if folder.categories:
        files[CATEGORIES_FILE] = document({key: _said(one) for key, one in folder.categories.items()})
    return files


def template_files(key: str, source: Source) -> Files:
    """Return the files of a template."""
    writing = _Writing(f"templates/{key}")
    values = _said(source, "channels", "locales", "sample", "variables")
    writing.add(TEMPLATE_FILE, document({**values, "channels": writing.channels(source.channels)}))
    writing.locales(source.locales)
    if source.sample != Sample():
        writing.add(SAMPLE_FILE, _json(_said(source.sample)))
    if source.variables is not None:
        writing.add(SCHEMA_FILE, _json(source.variables))
    return writing.files


def layout_files(key: str, layout: Layout) -> Files:
    """Return the files of a layout."""
    writing = _Writing(f"layouts/{key}")
    values = _said(layout, "locales")
    for name in ("mjml", "html", "text"):
        if name in values:
            values[name] = writing.text(name, f"layout.{_ENDINGS.get(name, 'txt')}", values[name])
    writing.add(LAYOUT_FILE, document(values))
    writing.locales(layout.locales)
    return writing.files


class _Writing:
    """Files of one template or layout."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.files: Files = {}

    def add(self, name: str, text: str) -> None:
        self.files[f"{self._root}/{name}"] = text

    def locales(self, locales: dict[str, Translation]) -> None:
        for tag in sorted(locales):
            one = locales[tag]
            if one.messages or not one.channels:
                self.add(f"messages.{tag}.toml", document(one.messages))
            if one.channels:
                self.add(f"channels.{tag}.toml", document(self.channels(one.channels, f".{tag}")))

    def channels(self, channels: dict[Channel, dict[str, Any]], locale: str = "") -> dict[str, Any]:
        """Return the TOML form of channels, in the order of the API."""
        return {
            str(channel): {
                name: self._part(channel, name, channels[channel][name], locale)
                for name in sorted(channels[channel], key=list(PARTS[channel]).index)
            }
            for channel in Channel
            if channel in channels
        }

    def _part(self, channel: Channel, name: str, part: Any, locale: str) -> Any:
        if isinstance(part, str):
            stem = channel if channel == Channel.EMAIL and name in _ENDINGS else f"{channel}.{name}"
            return self.text(name, f"{stem}{locale}.{_ENDINGS.get(name, 'txt')}", part)
        if _fits_inline(part):
            return part
        file = f"{channel}.{name}{locale}.json"
        self.add(file, _json(part))
        return {"file": file}

    def text(self, part: str, file: str, text: str) -> Any:
        """Return a text, or the name of the file it was put into. Texts with carriage returns stay inline: version
        control may change line ends of files."""
        if "\r" in text or not (part in _OWN_FILES or ("\n" in text and len(text) > INLINE_CHARS_MAX)):
            return text
        self.add(file, _ended(text))
        return {"file": file}


def _fits_inline(tree: Any) -> bool:
    named_alike = isinstance(tree, dict) and tree.keys() == {"file"}
    return not named_alike and _levels(tree) <= _INLINE_LEVELS_MAX


def _levels(tree: Any) -> int:
    """Return the depth of a tree. TOML has no null, so a tree with one counts as too deep for it."""
    if tree is None:
        return _INLINE_LEVELS_MAX + 1
    if isinstance(tree, dict):
        return 1 + max(map(_levels, tree.values()), default=0)
    if isinstance(tree, list):
        return 1 + max(map(_levels, tree), default=0)
    return 0


def _said(one: msgspec.Struct, *left_out: str) -> dict[str, Any]:
    """Return the fields of `one` that differ from their defaults, without those in `left_out`."""
    values = msgspec.to_builtins(one)
    return {
        field.name: values[field.name]
        for field in msgspec.structs.fields(one)
        if field.name not in left_out and getattr(one, field.name) != _default(field)
    }


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _ended(text: str) -> str:
    return text + "\n"
