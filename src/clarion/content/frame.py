"""E-mail in its frame: the layout put around MJML, HTML and text, before anything of it is compiled."""

import re
from typing import Any, Final

import msgspec

from clarion.content.html import Setting, finished, mjml_to_html
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
"""What stands around the content while an e-mail is put together: comments in its language, so they come through unharmed."""
_DOCUMENT: Final = re.compile(r"<(mjml|html|body|mj-body)[\s>]", re.IGNORECASE)
_CLOSING: Final = "<![endif]-->"


class Frame(msgspec.Struct, frozen=True):
    """A layout in one locale, partials and messages put in. Without `mjml` and `html` it frames text only."""

    mjml: str | None = None
    html: str | None = None
    text: str = "{{ content }}"


def places(source: str, engine: Engine) -> int:
    """Return how many places for content a layout has."""
    count = 0

    def note(tag: Tag) -> None:
        nonlocal count
        count += _is_place(tag)

    put_in(source, engine, note)
    return count


def emptied(source: str | None, engine: Engine) -> str | None:
    """Return a layout with blanks for its content: whatever is put there is never output of the template language."""
    return None if source is None else put_in(source, engine, lambda tag: blank(tag.text) if _is_place(tag) else None)


def frame_of(layout: Layout, locale: str, partials: Partials) -> Frame:
    """Return a layout as it is in a locale. Raises `InvalidField` with a field below `layout`."""
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
    return Frame(**done)


def email(parts: dict[str, Any], engine: Engine, frame: Frame, locale: str) -> dict[str, Any]:
    """Return the parts of an e-mail as they are sent: `html` of `mjml` or `html`, in its frame; `text` of `html` where there
    is none. Raises `InvalidField` with the name of the part as its field."""
    done = {name: part for name, part in parts.items() if name not in ("mjml", "html", "preheader")}
    source = next((name for name in ("mjml", "html") if name in parts), None)
    text = parts.get("text")
    if source is not None:
        setting = Setting(locale, _escaped(parts.get("preheader", ""), engine))
        begin, end = _MARKS[engine]
        try:
            html = finished(_framed(source, parts[source], engine, frame, locale), engine, setting)
            if text is None:
                text = text_of(_between(html, begin, end), engine)
            done["html"] = html.replace(begin, "").replace(end, "")
        except InvalidField as error:
            raise InvalidField(error.detail, field=error.field or source, code=error.code) from None
    if text is not None:
        done["text"] = _put(frame.text, text, engine)
    return done


def _framed(kind: str, body: str, engine: Engine, frame: Frame, locale: str) -> str:
    """Return the whole e-mail as HTML, the content between two marks if there is a frame."""
    if frame.mjml is None and frame.html is None:
        return mjml_to_html(body, engine, locale) if kind == "mjml" else body
    if _DOCUMENT.search(body):
        raise InvalidField("is a whole document; the layout brings that, so only what goes into it belongs here")
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
    """Return what stands for HTML in MJML: text in as many elements as the place for it asks for."""
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
    """Return the content of a framed e-mail, or all of one without a frame."""
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
    """Return a line of text as HTML, its tags left as they are."""
    return outside(text, engine, lambda piece: piece.replace("&", "&amp;").replace("<", "&lt;"))
