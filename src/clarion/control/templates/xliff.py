"""Translations as XLIFF 1.2 (http://docs.oasis-open.org/xliff/v1.2/os/xliff-core.html), the version most tools read.
Placeholders are `<ph>` elements, plural forms a group of `x-gettext-plurals`. Imported files are untrusted: no document
type, so no entities, and bounds on size and depth.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from clarion.content.tags import tags
from clarion.control.templates.translations import Sheet, TranslatorFile, Unit
from clarion.domain.errors import InvalidField, Malformed
from clarion.domain.limits_content import XML_LEVELS_MAX, XML_TAG_BYTES_MAX
from clarion.domain.template import Engine

NAMESPACE: Final = "urn:oasis:names:tc:xliff:document:1.2"
_TEXT: Final = {"\r": "&#13;"}
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""https://www.w3.org/TR/xml/#charsets."""
_LONG_TAG: Final = re.compile(rb"<[^<]{%d}" % XML_TAG_BYTES_MAX)
"""The parser cannot be interrupted within a tag, which may have half a million attributes."""
_UNTRANSLATED: Final = frozenset({"new", "needs-translation"})
_HOLES: Final = frozenset({"ph", "x"})


def written(sheet: Sheet) -> bytes:
    """Return a sheet as a document. Raises `InvalidField` for a text with characters that XML cannot hold."""
    return ("\n".join(_document(sheet)) + "\n").encode()


def _document(sheet: Sheet) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<xliff version="1.2" xmlns="{NAMESPACE}">'
    yield (
        f"  <file original={quoteattr(sheet.key)} product-version={quoteattr(str(sheet.version))} datatype="
        f'"plaintext" source-language={quoteattr(sheet.source_locale)} target-language={quoteattr(sheet.locale)}>'
    )
    if sheet.about:
        yield f"    <header><note>{_plain(sheet.about)}</note></header>"
    yield "    <body>"
    groups: dict[str, list[Unit]] = defaultdict(list)
    for unit in sheet.units:
        groups[unit.key].append(unit)
    for key, units in groups.items():
        lines = [line for unit in units for line in _unit(unit, sheet)]
        if units[0].form:
            kind = "x-gettext-plurals" if units[0].plural else "x-forms"
            lines = [f'<group id={quoteattr(key)} restype="{kind}">', *lines, "</group>"]
        yield from (f"      {line}" for line in lines)
    yield "    </body>\n  </file>\n</xliff>"


def _unit(unit: Unit, sheet: Sheet) -> Iterator[str]:
    engine = sheet.engine
    numbers = _numbers(unit.source, engine)
    yield f'<trans-unit id={quoteattr(unit.id)} resname={quoteattr(unit.id)} xml:space="preserve">'
    yield f"  <source>{_content(unit, unit.source, numbers, engine)}</source>"
    if unit.target is not None:
        yield f'  <target state="translated">{_content(unit, unit.target, numbers, engine)}</target>'
    if unit.form:
        yield f"  <note>{'Plural' if unit.plural else 'Chosen'} form: {_plain(unit.form)}</note>"
    if unit.key in sheet.uses:
        yield f"  <note>Used in {', '.join(sheet.uses[unit.key])}</note>"
    yield "</trans-unit>"


def _plain(text: str) -> str:
    return escape(_NOT_XML.sub("", text))


def _numbers(source: str, engine: Engine) -> dict[tuple[str, int], int]:
    """Return ids of placeholders, by their text and their number among equal ones."""
    seen: Counter[str] = Counter()
    numbers: dict[tuple[str, int], int] = {}
    for number, tag in enumerate(tags(source, engine), 1):
        numbers[tag.text, seen[tag.text]] = number
        seen[tag.text] += 1
    return numbers


def _content(unit: Unit, text: str, numbers: dict[tuple[str, int], int], engine: Engine) -> str:
    if _NOT_XML.search(text):
        raise InvalidField("has a character that XML cannot hold; use format=po", field=f"messages.{unit.key}")
    seen: Counter[str] = Counter()
    pieces: list[str] = []
    position, further = 0, len(numbers)
    for tag in tags(text, engine):
        number = numbers.get((tag.text, seen[tag.text]))
        if number is None:
            number = further = further + 1
        seen[tag.text] += 1
        pieces += (escape(text[position : tag.start], _TEXT), f'<ph id="{number}">{escape(tag.text, _TEXT)}</ph>')
        position = tag.end
    return "".join((*pieces, escape(text[position:], _TEXT)))


def read(raw: bytes, sheet: Sheet) -> TranslatorFile:
    """Return the content of a document. Placeholders without a text are looked up in the sheet. Raises
    `Malformed`."""
    root = _parsed(raw)
    if _name(root) != "xliff":
        raise Malformed("the body is not XLIFF: its root is not <xliff>")
    if not root.get("version", "").startswith("1."):
        raise Malformed("the body is not XLIFF 1.2")
    known = {unit.id: unit for unit in sheet.units}
    targets: dict[str, str] = {}
    sources: dict[str, str] = {}
    locale = next((found for file in root.iter() if (found := file.get("target-language"))), "")
    for element in root.iter():
        if _name(element) != "trans-unit":
            continue
        # Some tools renumber units and keep their names.
        id = next((name for name in (element.get("id"), element.get("resname")) if name in known), None)
        id = id or element.get("id") or element.get("resname") or ""
        holes = _holes(known[id].source, sheet.engine) if id in known else {}
        for child in element:
            if _name(child) == "source":
                sources[id] = _text(child, holes)
            elif _name(child) == "target" and child.get("state") not in _UNTRANSLATED and (text := _text(child, holes)):
                targets[id] = text
    return TranslatorFile(locale, targets, sources)


def _holes(source: str, engine: Engine) -> dict[str, str]:
    return {str(number): text for (text, _), number in _numbers(source, engine).items()}


def _text(element: Element, holes: dict[str, str]) -> str:
    pieces = [element.text or ""]
    if _name(element) in _HOLES and not element.text:
        pieces.append(element.get("equiv-text") or holes.get(element.get("id", ""), ""))
    for child in element:
        pieces += (_text(child, holes), child.tail or "")
    return "".join(pieces)


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _parsed(raw: bytes) -> Element:
    """Parse XML of untrusted origin. A document type is refused before its content is read, so there are no entities to
    expand or fetch. Raises `Malformed`."""
    if _LONG_TAG.search(raw):
        raise Malformed(f"the body has more than {XML_TAG_BYTES_MAX} bytes without a tag")
    builder, level = TreeBuilder(), 0
    parser = expat.ParserCreate(encoding="UTF-8", namespace_separator="}")
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal level
        level += 1
        if level > XML_LEVELS_MAX:
            raise Malformed(f"the body is nested more than {XML_LEVELS_MAX} levels deep")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal level
        level -= 1
        builder.end(name)

    def refuse(*_: Any) -> None:
        raise Malformed("the body has a document type, which is not read")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise Malformed(f"the body is not XML: {error}") from None
    return builder.close()
