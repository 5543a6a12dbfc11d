"""HTML of e-mails: compiles MJML, completes the document, inlines styles. Nothing is ever fetched."""

import re
from typing import Final

import css_inline
import mrml
import msgspec

from clarion.content.markup import attributes, pieces
from clarion.content.protect import Protected, with_bodies
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import BUILT_PART_BYTES_MAX, INLINING_WORK_MAX
from clarion.domain.locales import is_right_to_left
from clarion.domain.template import Engine

_PARSING: Final = mrml.ParserOptions(include_loader=mrml.noop_loader())
_RENDERING: Final = mrml.RenderOptions(fonts={})  # the default ones would be fetched by the reader's mail program
_SCHEMES: Final = '<meta name="color-scheme" content="{0}"><meta name="supported-color-schemes" content="{0}">'
_HIDDEN: Final = (
    "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all"
)
_FILLER: Final = "&#847;&zwnj;&nbsp;" * 40  # otherwise the inbox shows the first words of the body after the preheader
_COLORED: Final = re.compile(r"color\s*[:=]", re.IGNORECASE)
_SIDES: Final = re.compile(r'((?:text-align\s*:\s*|\balign="))(left|right)\b', re.IGNORECASE)
_DIRECTION: Final = re.compile(r"(\bdirection\s*:\s*)ltr\b", re.IGNORECASE)
_MIRRORED: Final = {"left": "right", "right": "left"}
_ROOT: Final = re.compile(r"<mjml\b(?:\s+(?:lang|dir)=\"[^\"]*\")*")
_BASICS: Final = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
_SHOWN_CHARS: Final = 60
_IGNORE: Final = 'data-css-inline="ignore"'
_RESET: Final = '<style type="text/css">'
_EMPTY_STYLE: Final = re.compile(r"<style[^>]*>\s*</style>")


class DocumentSettings(msgspec.Struct, frozen=True):
    """Settings of a document: its locale, and the preheader that an inbox shows next to the subject (HTML with
    tags)."""

    locale: str
    preheader: str = ""


def mjml_to_html(source: str, engine: Engine, locale: str) -> str:
    """Return MJML with tags as a document of HTML with tags. Raises `InvalidField` (without a field)."""
    if not _ROOT.search(source):
        source = f"<mjml><mj-body>{source}</mj-body></mjml>"
    direction = "rtl" if is_right_to_left(locale) else "ltr"
    source = _ROOT.sub(f'<mjml lang="{locale}" dir="{direction}"', source, count=1)
    protected = Protected(source, engine, mjml=True)
    try:
        html = mrml.to_html(protected.source, _PARSING, _RENDERING).content
    except OSError as error:
        raise InvalidField(f"MJML: {_place(str(error), protected)}", code="mjml_syntax") from None
    # MJML adds its reset styles to the elements that need them.
    html = html.replace(_RESET, f"{_RESET[:-1]} {_IGNORE}>", 1)
    if direction == "rtl":
        html = _DIRECTION.sub(r"\1rtl", _SIDES.sub(lambda match: match[1] + _MIRRORED[match[2].lower()], html))
    return protected.restored(html)


def finished(html: str, engine: Engine, setting: DocumentSettings) -> str:
    """Return the final HTML with tags: a whole document with its language and direction, its styles inlined. A fragment
    that needs none of this is returned unchanged. Raises `InvalidField` (without a field)."""
    protected = Protected(html, engine)
    found = {piece.name for piece in pieces(protected.source) if piece.kind == "start"}
    whole = bool(found & {"html", "head", "body"})
    if not (whole or "style" in found or setting.preheader or is_right_to_left(setting.locale)):
        return html
    hidden = f'<div style="{_HIDDEN}">{protected.word(setting.preheader)}{_FILLER}</div>' if setting.preheader else ""
    document = (
        _completed(protected.source, found, setting.locale, hidden)
        if whole
        else _wrapped(protected.source, setting.locale, hidden)
    )
    if "style" in found:
        document = _inlined(document, protected)
    built = protected.restored(document)
    if len(built.encode()) > BUILT_PART_BYTES_MAX:
        raise InvalidField(f"is longer than {BUILT_PART_BYTES_MAX} bytes as HTML", code="too_large")
    return built


def _wrapped(fragment: str, locale: str, hidden: str) -> str:
    """Return a document around a fragment."""
    return f"<!doctype html>{_opening('<html>', locale)}<head>{_BASICS}{_metas(fragment)}</head><body>{hidden}{fragment}</body></html>"


def _completed(source: str, found: set[str], locale: str, hidden: str) -> str:
    """Return a document with its language, its colour schemes, and the hidden preheader first. Missing elements among
    `html`, `head` and `body` are added: a parser would guess their place, and tags would move."""
    metas = _metas(source)
    head = "" if "head" in found else f"<head>{metas}</head>"
    body = "" if "body" in found else f"<body>{hidden}"
    out = [] if "html" in found else [_opening("<html>", locale), head if "body" in found else ""]
    for piece in pieces(source):
        if piece.kind == "start" and piece.name == "html":
            out += (_opening(piece.text, locale), head, body if head else "")
        elif piece.kind == "start" and piece.name == "head":
            out += (piece.text, metas)
        elif piece.kind == "end" and piece.name == "head":
            out += (piece.text, body)
        elif piece.kind == "start" and piece.name == "body":
            out += (piece.text, hidden)
        else:
            out.append(piece.text)
    return "".join(out)


def _opening(tag: str, locale: str) -> str:
    """Return the start tag of `html` with language and direction."""
    for name, _value, start, end in reversed(list(attributes(tag))):
        if name.lower() in ("lang", "dir"):
            tag = tag[:start].rstrip() + tag[end:]
    direction = "rtl" if is_right_to_left(locale) else "ltr"
    return f'{tag[:-1].rstrip()} lang="{locale}" dir="{direction}">'


def _metas(source: str) -> str:
    """Return the meta elements of a document's colour schemes: also dark if it has rules for dark schemes, or no
    colours of its own that could become unreadable."""
    if 'name="color-scheme"' in source:
        return ""
    dark = "prefers-color-scheme" in source or not _COLORED.search(source)
    return _SCHEMES.format("light dark" if dark else "light")


def _inlined(document: str, protected: Protected) -> str:
    """Return a document with its styles inlined, except rules that cannot be (media queries, states such as hover)."""
    rules = 0
    out: list[str] = []
    for piece in with_bodies(pieces(document)):
        if piece.kind == "other" and piece.name == "style":
            rules += piece.text.count("{") + piece.text.count(",")
            if protected.holds_block(piece.text):  # its rules depend on data, so they are not inlined
                out[-1] = f"{out[-1][:-1]} {_IGNORE}>"
        out.append(piece.text)
    if rules * protected.elements > INLINING_WORK_MAX:
        raise InvalidField(
            f"has {rules} style rules for {protected.elements} elements, which is too much", code="too_large"
        )
    inliner = css_inline.CSSInliner(
        load_remote_stylesheets=False,
        keep_link_tags=True,
        keep_style_tags=True,
        keep_at_rules=True,
        remove_inlined_selectors=not protected.varies,
    )
    try:
        inlined = inliner.inline("".join(out))
    except ValueError as error:
        raise InvalidField(f"styles: {error}", code="css_syntax") from None
    return _EMPTY_STYLE.sub("", inlined.replace(f" {_IGNORE}", ""))


def _place(detail: str, protected: Protected) -> str:
    """Return the message of mrml, with the range of bytes in it replaced by the source text there and its line. The
    line counts from the start of the layout, if there is one."""
    match = re.search(r" in root template(?: at position (\d+):(\d+))?$", detail)
    if match is None or not match[1]:
        return detail[: match.start()] if match else detail
    source = protected.source.encode()
    named = source[int(match[1]) : int(match[2])].lstrip()
    line = source.count(10, 0, int(match[2]) - len(named)) + 1
    words = protected.written(named.decode(errors="replace")).rstrip()
    return f"{detail[: match.start()]} {words[:_SHOWN_CHARS]} in line {line}"
