"""Layouts of e-mails: inserts MJML, HTML and text into the layout before compilation."""

import re
from typing import Any, Final

import msgspec

from clarion.content.html import DocumentSettings, finished, mjml_to_html
from clarion.content.markup import pieces
from clarion.content.messages import Messages
from clarion.content.partials import Partials
from clarion.content.tags import Tag, blank, outside, put_in, tags
from clarion.content.text import text_of
from clarion.domain.errors import InvalidField
from clarion.domain.template import Engine, Layout

_CONTENT: Final = re.compile(r"\{\{\{?[-~]?\s*content\s*[-~]?\}?\}\}")
_MARKS: Final[dict[str, tuple[str, str]]] = {
    "liquid": ("{%#clarion content%}", "{%#clarion end%}"),
    "handlebars": ("{{!clarion content}}", "{{!clarion end}}"),
}
"""Marks around the content during a build: comments in the template's language, which every step preserves."""
_DOCUMENT: Final = re.compile(r"<(mjml|html|body|mj-body)[\s>]", re.IGNORECASE)
_CLOSING: Final = "<![endif]-->"


class LocalizedLayout(msgspec.Struct, frozen=True):
    """A layout in one locale, with partials and messages inserted. Without `mjml` and `html` it applies to text
    only."""

    mjml: str | None = None
    html: str | None = None
    text: str = "{{ content }}"


def places(source: str, engine: Engine) -> int:
    """Return the number of places for content in a layout."""
    count = 0

    def note(tag: Tag) -> None:
        nonlocal count
        count += _is_place(tag)

    put_in(source, engine, note)
    return count


def blank_layout(source: str | None, engine: Engine) -> str | None:
    """Return a layout with `{{ content }}` blanked out, which is replaced before compilation and is not an output of
    the template language."""
    return None if source is None else put_in(source, engine, lambda tag: blank(tag.text) if _is_place(tag) else None)


def localized_layout(layout: Layout, locale: str, partials: Partials) -> LocalizedLayout:
    """Return a layout for a locale. Raises `InvalidField` with a field below `layout`."""
    messages = Messages(layout.locales, locale, layout.locale, layout.engine)
    done: dict[str, str] = {}
    for part in ("mjml", "html", "text"):
        source = getattr(layout, part)
        if source is None:
            continue
        try:
            done[part] = messages.put_into(partials.put_into(source), html=part != "text")
        except InvalidField as error:
            raise InvalidField(error.detail, field=f"layout.{part}", code=error.code) from None
    return LocalizedLayout(**done)


def email(parts: dict[str, Any], engine: Engine, frame: LocalizedLayout, locale: str) -> dict[str, Any]:
    """Return the built parts of an e-mail: `html` from `mjml` or `html`, in its layout; `text` from `html` where there
    is none. Raises `InvalidField` with the name of the part as its field."""
    done = {name: part for name, part in parts.items() if name not in ("mjml", "html", "preheader")}
    source = next((name for name in ("mjml", "html") if name in parts), None)
    text = parts.get("text")
    if source is not None:
        setting = DocumentSettings(locale, _escaped(parts.get("preheader", ""), engine))
        begin, end = _MARKS[engine]
        try:
            html = finished(_with_layout(source, parts[source], engine, frame, locale), engine, setting)
            if text is None:
                text = text_of(_between(html, begin, end), engine)
            done["html"] = html.replace(begin, "").replace(end, "")
        except InvalidField as error:
            raise InvalidField(error.detail, field=error.field or source, code=error.code) from None
    if text is not None:
        done["text"] = _put(frame.text, text, engine)
    return done


def _with_layout(kind: str, body: str, engine: Engine, frame: LocalizedLayout, locale: str) -> str:
    """Return the whole e-mail as HTML, with the content between two marks if there is a layout."""
    if frame.mjml is None and frame.html is None:
        return mjml_to_html(body, engine, locale) if kind == "mjml" else body
    if _DOCUMENT.search(body):
        raise InvalidField("is a whole document; with a layout, give only the content")
    begin, end = _MARKS[engine]
    if kind == "mjml":
        if frame.mjml is None:
            raise InvalidField("is MJML, but the layout is HTML", code="layout_mismatch")
        return mjml_to_html(_put(frame.mjml, f"{begin}{body}{end}", engine), engine, locale)
    if frame.mjml is None:
        return _put(frame.html or "", f"{begin}{body}{end}", engine)
    place = _text_block(frame.mjml, f"{begin}{end}", engine)
    html = mjml_to_html(_put(frame.mjml, place, engine), engine, locale)
    return html.replace(f"{begin}{end}", f"{begin}{body}{end}")


def _text_block(layout: str, content: str, engine: Engine) -> str:
    """Return the MJML placeholder for HTML content: text in the elements that its place requires."""
    before = layout[: next(tag.start for tag in tags(layout, engine) if _is_place(tag))]
    opened = [piece.name for piece in pieces(before) if piece.kind == "start" and not piece.text.endswith("/>")]
    closed = [piece.name for piece in pieces(before) if piece.kind == "end"]
    for name in closed:
        opened.remove(name)
    around = {"mj-column": 1, "mj-group": 2, "mj-section": 2, "mj-wrapper": 3, "mj-body": 3}.get(opened[-1], 0)
    for name in ("mj-text", "mj-column", "mj-section")[:around]:
        content = f"<{name}>{content}</{name}>"
    return content


def _between(html: str, begin: str, end: str) -> str:
    """Return the content of an e-mail with a layout, or all of one without."""
    if begin not in html:
        return html
    body = html.partition(begin)[2].partition(end)[0]
    # MJML writes a wrapper's rows into comments for Outlook; the content may begin within one.
    before, closing, _ = body.partition(_CLOSING)
    return f"<!--{body}" if closing and "<!--" not in before else body


def _put(frame: str, content: str, engine: Engine) -> str:
    return put_in(frame, engine, lambda tag: content if _is_place(tag) else None)


def _is_place(tag: Tag) -> bool:
    return _CONTENT.fullmatch(tag.text) is not None


def _escaped(text: str, engine: Engine) -> str:
    """Return a line of text as HTML, its template tags unchanged."""
    return outside(text, engine, lambda piece: piece.replace("&", "&amp;").replace("<", "&lt;"))
