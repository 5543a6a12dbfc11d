"""Messages: the texts of a template in a locale, inserted before compilation.

`{% t key %}` and `{{t "key"}}` name a message. One with forms (`one`, `few`, `other`; `female`, `male`, `other`)
becomes a condition in the template's language, so the form is chosen when rendering.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from clarion.content.tags import Tag, each_text, outside, put_in
from clarion.domain.errors import InvalidField
from clarion.domain.locales import chain
from clarion.domain.template import Engine, Message, Translation

OTHER: Final = "other"
_KEY: Final = r"[A-Za-z0-9_.-]+?"
_REFERENCES: Final[dict[str, re.Pattern[str]]] = {
    "liquid": re.compile(
        rf"""\{{%-?\s*t\s+["']?(?P<key>{_KEY})["']?\s*(?:,\s*(?P<by>count|select)\s*:\s*(?P<path>[\w.\[\]"'-]+?))?\s*-?%\}}"""
    ),
    "handlebars": re.compile(
        rf"""\{{\{{\{{?~?\s*t\s+["'](?P<key>{_KEY})["']\s*(?:\s(?P<by>count|select)=(?P<path>[\w.@/\[\]-]+?))?\s*~?\}}?\}}\}}"""
    ),
}
_MARKS: Final = {
    "liquid": re.compile(r"\{%-?\s*t\s"),
    "handlebars": re.compile(r"\{\{\{?~?\s*t\s"),
}
_USAGE: Final = {
    "liquid": "{% t key %}, {% t key, count: number %} or {% t key, select: value %}",
    "handlebars": '{{t "key"}}, {{t "key" count=number}} or {{t "key" select=value}}',
}


class MessageReference(NamedTuple):
    """A reference to a message; `by` is `count`, `select` or empty, `path` the variable that selects the form."""

    key: str
    by: str
    path: str


def reference(tag: Tag, engine: Engine) -> MessageReference | None:
    """Return the message that a tag refers to; None for any other tag. Raises `InvalidField` (without a field) when the
    reference is malformed."""
    if not _MARKS[engine].match(tag.text):
        return None
    match = _REFERENCES[engine].fullmatch(tag.text)
    if match is None:
        raise InvalidField(f"a message is inserted by {_USAGE[engine]}", code="template_syntax")
    return MessageReference(match["key"], match["by"] or "", match["path"] or "")


class Messages:
    """The messages of a template or layout in one locale: the locale's own, else those of its parents, else the
    default's."""

    def __init__(self, translations: Mapping[str, Translation], locale: str, default: str, engine: Engine) -> None:
        self._locales = tuple(dict.fromkeys((*chain(locale), *chain(default))))
        self._known = [(tag, translations[tag].messages) for tag in self._locales if tag in translations]
        self._engine = engine

    def put_into(self, source: Any, *, html: bool = False) -> Any:
        """Return a part with its messages inserted; in attributes of `html` their quotes are escaped. Raises
        `InvalidField` naming a message that is missing or does not fit."""

        def put(text: str) -> str:
            return put_in(text, self._engine, lambda tag: self._text_of(tag, html and _in_element(text, tag.start)))

        return each_text(source, put)

    def _text_of(self, tag: Tag, in_element: bool) -> str | None:
        wanted = reference(tag, self._engine)
        if wanted is None:
            return None
        locale, message = self._find(wanted.key)
        if in_element:
            message = self._quoted(message)
        if isinstance(message, str):
            return message
        if not wanted.by:
            raise InvalidField(f"message {wanted.key} has forms: it needs a count or a select", code="message_form")
        forms = {form: text for form, text in message.items() if form != OTHER}
        if not forms:
            return message[OTHER]
        glue = _liquid if self._engine == "liquid" else _handlebars
        return glue(wanted, forms, message[OTHER], locale)

    def _quoted(self, message: Message) -> Message:
        if isinstance(message, dict):
            return {form: self._quoted_text(text) for form, text in message.items()}
        return self._quoted_text(message)

    def _quoted_text(self, text: str) -> str:
        return outside(text, self._engine, lambda piece: piece.replace('"', "&quot;"))

    def _find(self, key: str) -> tuple[str, Message]:
        for locale, messages in self._known:
            if key in messages:
                return locale, messages[key]
        raise InvalidField(f"there is no message {key} in {', '.join(self._locales)}", code="unknown_message")


def _in_element(text: str, place: int) -> bool:
    """Return whether a place in markup is within a start tag."""
    opening = text.rfind("<", 0, place)
    return opening > text.rfind(">", 0, place) and text[opening + 1 : opening + 2].isalpha()


def _liquid(wanted: MessageReference, forms: Mapping[str, str], other: str, locale: str) -> str:
    value, start = wanted.path, ""
    if wanted.by == "count":
        value, start = "_plural", f'{{% assign _plural = {wanted.path} | plural: "{locale}" %}}'
    branches = _branches(forms, lambda form, first: f'{{% {"if" if first else "elsif"} {value} == "{form}" %}}')
    return f"{start}{branches}{{% else %}}{other}{{% endif %}}"


def _handlebars(wanted: MessageReference, forms: Mapping[str, str], other: str, locale: str) -> str:
    value = f'(plural {wanted.path} "{locale}")' if wanted.by == "count" else wanted.path
    branches = _branches(forms, lambda form, first: f'{{{{{"#" if first else "else "}if (eq {value} "{form}")}}}}')
    return f"{branches}{{{{else}}}}{other}{{{{/if}}}}"


def _branches(forms: Mapping[str, str], condition: Any) -> str:
    return "".join(f"{condition(form, index == 0)}{text}" for index, (form, text) in enumerate(forms.items()))


def used_keys(texts: Iterable[str], engine: Engine) -> set[str]:
    """Return the keys of all messages that some sources refer to. Raises `InvalidField` for a malformed tag."""
    found: set[str] = set()

    def note(tag: Tag) -> None:
        wanted = reference(tag, engine)
        if wanted is not None:
            found.add(wanted.key)

    for text in texts:
        put_in(text, engine, note)
    return found
