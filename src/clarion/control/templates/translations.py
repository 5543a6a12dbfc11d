"""Translation units: the messages of a template in one locale as units of text, and the merge of a translator's file.

A message in several forms is a unit per form: per plural category of the target's language, or per value of a selector.
Only changed units are validated, so stored messages survive an export and import unchanged.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from clarion.content.messages import used_keys
from clarion.content.tags import each_text, tags
from clarion.domain.errors import InvalidField
from clarion.domain.locales import chain, known
from clarion.domain.template import Engine, Message, Source, TemplateVersion, Translation

OTHER: Final = "other"
CATEGORIES: Final = ("zero", "one", "two", "few", "many", OTHER)
"""The plural categories of the CLDR, in its order."""
_SOME: Final = frozenset(("zero", "one", "two"))
"""Categories that may cover so few numbers that the text need not contain the number."""
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]+")


class Unit(msgspec.Struct, frozen=True):
    """A text to translate: a message, or one `form` of it. `target` is None as long as there is no translation."""

    key: str
    source: str
    target: str | None
    form: str = ""
    plural: bool = False

    @property
    def id(self) -> str:
        """The id of the unit in translators' files."""
        return f"{self.key}[{self.form}]" if self.form else self.key


class Sheet(msgspec.Struct, frozen=True):
    """A template's units in one locale. `version` is the template's, created at `at_ms`; `uses` are the parts that
    refer to each message (`email.subject`)."""

    key: str
    version: int
    at_ms: int
    about: str
    engine: Engine
    source_locale: str
    locale: str
    units: tuple[Unit, ...]
    uses: dict[str, list[str]]


class TranslatorFile(msgspec.Struct, frozen=True):
    """The content of a translator's file: its language if it is given, and texts by unit id, without empty ones.
    `sources` are the texts that were translated, as far as the file contains them."""

    locale: str
    targets: dict[str, str]
    sources: dict[str, str] = {}


class MergedTranslations(msgspec.Struct, frozen=True):
    """A source with translations merged. Ids of units: `changed` ones, those `unknown` to the template, those
    `outdated` because their source has changed since, and those still `missing`."""

    source: Source
    changed: tuple[str, ...]
    unknown: tuple[str, ...]
    outdated: tuple[str, ...]
    missing: tuple[str, ...]


def sheet_of(one: TemplateVersion, locale: str) -> Sheet:
    """Return the units of a version in a locale."""
    source = one.source
    return Sheet(
        one.key, one.version, one.created_ms, source.description, source.engine, source.locale, locale,
        units(source, locale), uses(source),
    )  # fmt: skip


def uses(source: Source) -> dict[str, list[str]]:
    """Return the parts that refer to each message."""
    found: dict[str, list[str]] = defaultdict(list)

    def note(text: str, part: str) -> str:
        for key in used_keys([text], source.engine):
            if part not in found[key]:
                found[key].append(part)
        return text

    for channel, parts in source.channels.items():
        for name, part in parts.items():
            each_text(part, partial(note, part=f"{channel}.{name}"))
    note(source.text or "", "text")
    return found


def messages_of(source: Source, locale: str) -> dict[str, Message]:
    """Return the messages of a template in a locale, without inherited ones."""
    return source.locales.get(locale, Translation()).messages


def units(source: Source, locale: str) -> tuple[Unit, ...]:
    """Return the units to translate into a locale. Keys that no template can refer to and empty texts are left out."""
    own = messages_of(source, locale)
    return tuple(
        unit
        for key, message in messages_of(source, source.locale).items()
        if _KEY.fullmatch(key) and _text(message)
        for unit in _of_message(key, message, own.get(key), locale)
    )


def _of_message(key: str, message: Message, own: Message | None, locale: str) -> Iterator[Unit]:
    if isinstance(message, str) and not isinstance(own, dict):
        yield Unit(key, message, own)
        return
    plural = is_plural(message) and is_plural(own)
    for form in _forms(message, own, locale, plural=plural):
        text = message if isinstance(message, str) else message.get(form) or _text(message)
        target = own.get(form) if isinstance(own, dict) else own if form == OTHER else None
        yield Unit(key, text, target, form, plural)


def _text(message: Message) -> str:
    """Return the text of a message; of one with forms `other`, or else any that is not empty."""
    if isinstance(message, str):
        return message
    return message.get(OTHER) or next(filter(None, message.values()), "")


def _forms(message: Message, own: Message | None, locale: str, *, plural: bool) -> list[str]:
    named = {form for forms in (message, own) if isinstance(forms, dict) for form in forms}
    if not plural:
        return sorted(named | {OTHER}, key=lambda form: (form == OTHER, form))
    translated = set(own) if isinstance(own, dict) else set()
    return sorted(categories(locale) | translated, key=CATEGORIES.index)


def is_plural(message: Message | None) -> bool:
    """Return whether the forms of a message can be plural categories."""
    return not isinstance(message, dict) or message.keys() <= set(CATEGORIES)


def categories(locale: str) -> set[str]:
    """Return the plural categories of a language."""
    found = known(locale)
    return {OTHER} if found is None else {OTHER, *found.plural_form.tags}


def merged(source: Source, locale: str, returned: TranslatorFile) -> MergedTranslations:
    """Return the source with a translator's texts in it. Raises `InvalidField` naming the first unit whose text is
    missing a placeholder, or has one that its source has not."""
    found = {unit.id: unit for unit in units(source, locale)}
    unknown = tuple(id for id in returned.targets if id not in found)
    if returned.targets and len(unknown) == len(returned.targets):
        raise InvalidField("holds no unit of this template", field=unknown[0], code="unknown_units")
    changed = {id: text for id, text in returned.targets.items() if id in found and text != found[id].target}
    forms: dict[str, list[Unit]] = defaultdict(list)
    for unit in found.values():
        forms[unit.key].append(unit)
    for id, text in changed.items():
        _check(found[id], text, forms[found[id].key], source.engine)
    old = source.locales.get(locale, Translation())
    messages = dict(old.messages)
    for id, text in changed.items():
        messages[found[id].key] = _put(messages.get(found[id].key), found[id], text)
    _complete(messages, {found[id].key for id in changed})
    put_in = msgspec.structs.replace(old, messages=messages)
    translated = msgspec.structs.replace(source, locales={**source.locales, locale: put_in}) if changed else source
    return MergedTranslations(
        translated,
        tuple(changed),
        unknown,
        tuple(id for id, text in returned.sources.items() if id in found and text != found[id].source),
        tuple(unit.id for unit in units(translated, locale) if unit.target is None),
    )


def _put(message: Message | None, unit: Unit, text: str) -> Message:
    if not unit.form:
        return text
    forms = message if isinstance(message, dict) else {} if message is None else {OTHER: message}
    return {**forms, unit.form: text}


def _complete(messages: dict[str, Message], keys: set[str]) -> None:
    """Set the missing `other` form of messages with forms to their last form."""
    for key in keys:
        message = messages[key]
        if isinstance(message, dict) and OTHER not in message:
            last = max(message, key=CATEGORIES.index) if is_plural(message) else max(message)
            messages[key] = {**message, OTHER: message[last]}


def placeholders(text: str, engine: Engine) -> list[str]:
    """Return the tags in a text, which a translation must preserve."""
    return [tag.text for tag in tags(text, engine)]


def _check(unit: Unit, text: str, siblings: list[Unit], engine: Engine) -> None:
    """Raise `InvalidField` unless a translation has the placeholders of its source; only a form for few numbers may
    leave out the number."""
    sources = [set(placeholders(sibling.source, engine)) for sibling in siblings]
    needed = (
        set.intersection(*sources) if unit.plural and unit.form in _SOME else set(placeholders(unit.source, engine))
    )
    has = set(placeholders(text, engine))
    for one in sorted(needed - has):
        raise InvalidField(f"is missing the placeholder {one}", field=unit.id, code="placeholder_missing")
    for one in sorted(has.difference(*sources)):
        raise InvalidField(
            f"has a placeholder that its source has not: {one}", field=unit.id, code="placeholder_unknown"
        )


class LocaleReport(msgspec.Struct, frozen=True):
    """The translation status of a template: messages `present`, `inherited` from a parent locale, `missing` (the
    default locale's are used) and `unknown` to the default locale; `incomplete` ones have not all plural categories of
    the language; `parts` are overridden as a whole (`email.html`)."""

    present: tuple[str, ...] = ()
    inherited: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def report(source: Source, locale: str) -> LocaleReport:
    """Return the translation status of a template in a locale."""
    wanted, own = messages_of(source, source.locale), messages_of(source, locale)
    parents = [messages_of(source, tag) for tag in chain(locale) if tag not in (locale, source.locale)]
    inherited = {key for messages in parents for key in messages}
    lacking = {unit.key for unit in units(source, locale) if unit.plural and unit.target is None}
    channels = source.locales.get(locale, Translation()).channels
    return LocaleReport(
        present=tuple(key for key in wanted if key in own),
        inherited=tuple(key for key in wanted if key not in own and key in inherited),
        missing=tuple(key for key in wanted if key not in own and key not in inherited),
        unknown=tuple(key for key in own if key not in wanted),
        incomplete=tuple(key for key in wanted if key in own and key in lacking),
        parts=tuple(f"{channel}.{part}" for channel, parts in channels.items() for part in parts),
    )


def locales_of(source: Source) -> set[str]:
    """Return all locales of a template."""
    return {source.locale, *source.locales}
