"""Reading of template folders. An invalid file affects only its own template, and all problems of a folder are reported
at once."""

import json
import math
import re
import tomllib
from collections import defaultdict
from typing import Any, Final, TypeVar

import msgspec

from clarion.content.files.folder import (
    BRAND_FILE,
    CATEGORIES_FILE,
    LAYOUT_FILE,
    PARTIAL_ENDINGS,
    SAMPLE_FILE,
    SCHEMA_FILE,
    TEMPLATE_FILE,
    FileCategory,
    FileLocation,
    FileProblem,
    Files,
    Folder,
)
from clarion.content.files.places import FileLocations
from clarion.domain.address import key as checked_key
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.content import PARTS
from clarion.domain.errors import CallerError
from clarion.domain.locales import canonical
from clarion.domain.template import Brand, Layout, Message, Partial, Source
from clarion.ports.web import invalid_field

T = TypeVar("T")
_WHERE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_LOCALE_FILE: Final = re.compile(r"(messages|channels)\.([^.]+)\.toml")
_NOT_JSON: Final = "holds a date or a number that JSON does not have; put it in quotes"
_ELSEWHERE: Final = {
    "locales": "belongs into messages.<locale>.toml and channels.<locale>.toml",
    "sample": f"belongs into {SAMPLE_FILE}",
    "variables": f"belongs into {SCHEMA_FILE}",
}
_LAYOUT_PARTS: Final = ("mjml", "html", "text")


class Reading:
    """The content of a folder; `places[kind, key]` are its places (`("template", "welcome")`), `problems` its
    faults."""

    def __init__(self, files: Files) -> None:
        self.folder = Folder()
        self.places: dict[tuple[str, str], FileLocations] = {}
        self.problems: list[FileProblem] = []
        items: dict[tuple[str, str], Files] = defaultdict(dict)
        for path in sorted(files):
            try:
                self._file(path, files[path], items)
            except FileProblem as problem:
                self.problems.append(problem)
        for (kind, key), own in items.items():
            try:
                self._item(kind, key, own)
            except FileProblem as problem:
                self.problems.append(problem)

    def problem(self, kind: str, key: str, field: str | None, detail: str) -> FileProblem:
        """Return the fault of a field of a definition as a problem in a file. A template's field may be in its layout
        (`layout.html`) or a partial (`partials.<key>`)."""
        path, source = field or "", self.folder.templates.get(key) if kind == "template" else None
        if source is not None and source.layout in self.folder.layouts and path.startswith("layout."):
            kind, key, path = "layout", source.layout, path.removeprefix("layout.")
        elif path.startswith("partials.") and (partial := path.removeprefix("partials.")) in self.folder.partials:
            kind, key, path = "partial", partial, "source"
        places = self.places.get((kind, key)) or FileLocations(" ".join(filter(None, (kind, key))))
        return FileProblem(*places.explain(path, detail))

    def _file(self, path: str, text: str, items: dict[tuple[str, str], Files]) -> None:
        match path.split("/"):
            case ["templates", key, name]:
                items["template", key][name] = text
            case ["layouts", key, name]:
                items["layout", key][name] = text
            case ["partials", name]:
                self._partial(path, name, text)
            case [name] if name == BRAND_FILE:
                places = self.places["brand", ""] = FileLocations(path)
                places.add_toml(path, text)
                brand = _as(Brand, toml(path, text), places)
                self.folder = msgspec.structs.replace(self.folder, brand=brand)
            case [name] if name == CATEGORIES_FILE:
                self._categories(path, text)
            case ["README.md"]:
                pass
            case _:
                raise FileProblem(FileLocation(path), "is not a file of a template, layout or partial")

    def _partial(self, path: str, name: str, text: str) -> None:
        for engine, ending in PARTIAL_ENDINGS.items():
            if name.endswith(ending):
                key = _key(path, name.removesuffix(ending))
                if key in self.folder.partials:
                    raise FileProblem(FileLocation(path), "exists in another language, too")
                self.folder.partials[key] = Partial(_unended(text), engine)
                places = self.places["partial", key] = FileLocations(path)
                places.add_file(path, ("source",))
                return
        raise FileProblem(FileLocation(path), f"has none of the extensions {', '.join(PARTIAL_ENDINGS.values())}")

    def _categories(self, path: str, text: str) -> None:
        for key, value in toml(path, text).items():
            places = self.places["category", key] = FileLocations(path)
            places.add_toml(path, text)
            self.folder.categories[_key(path, key)] = _as(FileCategory, value, places, key)

    def _item(self, kind: str, key: str, files: Files) -> None:
        definition = Definition(kind, key, files)
        self.places[kind, key] = definition.places
        if kind == "template":
            self.folder.templates[key] = definition.template()
        else:
            self.folder.layouts[key] = definition.layout()


class Definition:
    """A template or layout: one folder of files, each of which has to be used. Raises `FileProblem`."""

    def __init__(self, kind: str, key: str, files: Files) -> None:
        self._root = f"{kind}s/{key}"
        self._files = files
        self._rest = set(files)
        self._main = TEMPLATE_FILE if kind == "template" else LAYOUT_FILE
        self.places = FileLocations(self._path(self._main))
        _key(self._root, key)
        if self._main not in files:
            raise FileProblem(FileLocation(self._root), f"has no {self._main}")

    def template(self) -> Source:
        """Return the template."""
        values = self._toml(self._main, ())
        self._refuse(values, *_ELSEWHERE)
        values["channels"] = self._channels(
            _as(dict[str, Any], values.get("channels", {}), self.places, "channels"), ("channels",)
        )
        if locales := self._locales(with_channels=True):
            values["locales"] = locales
        if SAMPLE_FILE in self._files:
            values["sample"] = self._json(SAMPLE_FILE, ("sample",))
        if SCHEMA_FILE in self._files:
            values["variables"] = self._json(SCHEMA_FILE, ("variables",))
        return self._finished(_as(Source, values, self.places))

    def layout(self) -> Layout:
        """Return the layout."""
        values = self._toml(self._main, ())
        self._refuse(values, "locales")
        for name in _LAYOUT_PARTS:
            if name in values:
                values[name] = self._part(values[name], (name,), tree=False)
        if locales := self._locales(with_channels=False):
            values["locales"] = locales
        return self._finished(_as(Layout, values, self.places))

    def _locales(self, *, with_channels: bool) -> dict[str, dict[str, Any]]:
        locales: dict[str, dict[str, Any]] = {}
        for name in sorted(self._files):
            found = _LOCALE_FILE.fullmatch(name)
            if found is None or (found[1] == "channels" and not with_channels):
                continue
            what, tag = found[1], _locale(self._path(name), found[2])
            field = ("locales", tag, what)
            values = self._toml(name, field)
            read = self._channels if what == "channels" else self._messages
            locales.setdefault(tag, {})[what] = read(values, field)
        return locales

    def _messages(self, messages: dict[str, Any], field: tuple[str, ...]) -> dict[str, Message]:
        return {
            key: _as(Message, message, self.places, ".".join((*field, key)))  # type: ignore[arg-type]
            for key, message in messages.items()
        }

    def _channels(self, channels: dict[str, Any], field: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for channel, parts in channels.items():
            path = ".".join((*field, channel))
            if channel not in CHANNELS:
                raise FileProblem(self.places.of(path), f"{path}: no such channel (there are {', '.join(CHANNELS)})")
            found[channel] = {
                name: self._part(part, (*field, channel, name), tree=_is_tree(channel, name))
                for name, part in _as(dict[str, Any], parts, self.places, path).items()
            }
        return found

    def _part(self, part: Any, field: tuple[str, ...], *, tree: bool) -> Any:
        """Return a part, from its file if it names one."""
        if not (isinstance(part, dict) and part.keys() == {"file"} and isinstance(part["file"], str)):
            if not _is_json(part):
                raise FileProblem(self.places.of(".".join(field)), f"{'.'.join(field)}: {_NOT_JSON}")
            return part
        name = part["file"]
        if name not in self._files or name == self._main:
            raise FileProblem(
                self.places.of(".".join(field)), f"{'.'.join(field)}: there is no file {name} in its folder"
            )
        if tree and name.endswith(".json"):
            return self._json(name, field)
        self._rest.discard(name)
        self.places.add_file(self._path(name), field)
        return _unended(self._files[name])

    def _toml(self, name: str, field: tuple[str, ...]) -> dict[str, Any]:
        self._rest.discard(name)
        values = toml(self._path(name), self._files[name])
        self.places.add_toml(self._path(name), self._files[name], field)
        return values

    def _json(self, name: str, field: tuple[str, ...]) -> Any:
        self._rest.discard(name)
        self.places.add_file(self._path(name), field)
        try:
            return json.loads(self._files[name], parse_constant=_no_number)
        except json.JSONDecodeError as error:
            raise FileProblem(FileLocation(self._path(name), error.lineno), error.msg) from None
        except (ValueError, RecursionError) as error:
            raise FileProblem(FileLocation(self._path(name)), str(error)) from None

    def _refuse(self, values: dict[str, Any], *names: str) -> None:
        for name in names:
            if name in values:
                raise FileProblem(self.places.of(name), f"{name} {_ELSEWHERE[name]}")

    def _finished(self, definition: T) -> T:
        for name in sorted(self._rest):
            raise FileProblem(FileLocation(self._path(name)), f"is not used: no part in {self._main} names it")
        return definition

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def toml(path: str, text: str) -> dict[str, Any]:
    """Return the values of a TOML file. Raises `FileProblem`."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        found = _WHERE.search(str(error))
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        raise FileProblem(FileLocation(path, line), _WHERE.sub("", str(error))) from None
    except RecursionError:
        raise FileProblem(FileLocation(path), "is nested too deeply") from None


def _as(kind: type[T], values: Any, places: FileLocations, field: str = "") -> T:
    """Return the value of a field converted to its type. Raises `FileProblem`."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        problem = invalid_field(error)
        path = ".".join(filter(None, (field, problem.field)))
        raise FileProblem(*places.explain(path, problem.detail)) from None


def _key(path: str, key: str) -> str:
    try:
        return checked_key(key, "key")
    except CallerError as error:
        raise FileProblem(FileLocation(path), f"{key}: {error.detail}") from None


def _locale(path: str, tag: str) -> str:
    try:
        proper = canonical(tag, "locale")
    except CallerError as error:
        raise FileProblem(FileLocation(path), error.detail) from None
    if proper != tag:
        raise FileProblem(FileLocation(path), f"the locale is spelled {proper}")
    return tag


def _is_tree(channel: str, name: str) -> bool:
    part = PARTS[Channel(channel)].get(name)
    return part is not None and part.kind == "tree"


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _unended(text: str) -> str:
    """Return the text of a file without the line end of its last line."""
    return text.removesuffix("\n")


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
