"""Translations as PO (https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html).

The context of an entry is its message's key. Plural forms are those of the CLDR; the header of the file maps numbers to
forms, and a file with another header is read by its own.
"""

import gettext
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.plurals import get_plural
from babel.messages.pofile import PoFileError, read_po, write_po
from babel.plural import to_gettext

from clarion.control.templates.translations import (
    CATEGORIES,
    OTHER,
    Sheet,
    TranslatorFile,
    Unit,
    categories,
    placeholders,
)
from clarion.domain.errors import Malformed
from clarion.domain.locales import known

_OPERANDS: Final = re.compile(r"\b[ce]\b")
"""Operands of CLDR rules that are 0 for every plain integer, and that gettext does not have."""
_COUNTS: Final = (*range(201), 1_000, 1_000_000)
"""Numbers with which two plural rules are compared."""
_LINE_CHARS: Final = 100


def written(sheet: Sheet) -> bytes:
    """Return a sheet as a PO file."""
    title = f"Template {sheet.key}, {sheet.source_locale} to {sheet.locale}."
    at = datetime.fromtimestamp(sheet.at_ms / 1000, UTC)
    catalog = Catalog(
        header_comment="\n".join(f"# {line}" for line in (title, *sheet.about.splitlines())),
        project=sheet.key,
        version=str(sheet.version),
        creation_date=at,
        revision_date=at,
        last_translator="",
        language_team="",
        fuzzy=False,
    )
    catalog.mime_headers = [("Language", sheet.locale.replace("-", "_")), ("Plural-Forms", plural_forms(sheet.locale))]
    plurals: dict[str, list[Unit]] = defaultdict(list)
    for unit in sheet.units:
        if unit.plural:
            plurals[unit.key].append(unit)
    for unit in sheet.units:
        if not unit.plural:
            _add(catalog, unit.source, unit.target or "", unit.id, _notes([unit], sheet))
        elif unit is plurals[unit.key][0]:
            _add_plural(catalog, plurals[unit.key], sheet)
    out = io.BytesIO()
    write_po(out, catalog, width=_LINE_CHARS)
    return out.getvalue()


def _add_plural(catalog: Catalog, units: list[Unit], sheet: Sheet) -> None:
    forms = {unit.form: unit for unit in units}
    other = forms[OTHER].source
    single = forms["one"].source if "one" in forms else other
    targets = tuple((forms[form].target if form in forms else None) or "" for form in _order(sheet.locale))
    _add(catalog, (single, other), targets, units[0].key, _notes(units, sheet))


def _add(catalog: Catalog, source: Any, target: Any, context: str, notes: list[str]) -> None:
    message = catalog.add(source, target, context=context, auto_comments=notes)
    # Guessed from braces and per cent signs, which are not placeholders here.
    message.flags -= {"python-format", "python-brace-format"}


def _notes(units: Iterable[Unit], sheet: Sheet) -> list[str]:
    held = dict.fromkeys(hole for unit in units for hole in placeholders(unit.source, sheet.engine))
    notes = [f"Used in {', '.join(sheet.uses[key])}" for key in {unit.key for unit in units} if key in sheet.uses]
    return notes + ([f"Keep as it is: {' '.join(' '.join(hole.split()) for hole in held)}"] if held else [])


def plural_forms(locale: str) -> str:
    """Return the header that maps numbers to forms, with forms in the order of the CLDR."""
    found = known(locale)
    if found is None:
        return "nplurals=1; plural=0;"
    exact = _OPERANDS.sub("0", to_gettext(found.plural_form))
    usual = get_plural(found)
    # Tools know the usual texts of gettext; most are equivalent.
    same = usual.num_plurals == len(_order(locale)) and _same(_choice(str(usual)), _choice(exact))
    return f"{usual};" if same else exact


def _order(locale: str) -> list[str]:
    return [form for form in CATEGORIES if form in categories(locale)]


def read(raw: bytes, sheet: Sheet) -> TranslatorFile:
    """Return the content of a file without entries marked as fuzzy, which wait for a translator. Raises `Malformed`."""
    try:
        catalog = read_po(io.StringIO(raw.decode()), abort_invalid=True)
        forms = _forms(catalog, sheet.locale)
    except (PoFileError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise Malformed(f"the body is not a PO file: {str(error)[:200]}") from None
    targets: dict[str, str] = {}
    sources: dict[str, str] = {}
    for message in catalog:
        if not message.id or message.context is None or message.fuzzy:
            continue
        if isinstance(message.id, str):
            targets[message.context] = str(message.string)
            sources[message.context] = message.id
        else:
            for index, text in enumerate(message.string or ()):
                targets[f"{message.context}[{forms.get(index, OTHER)}]"] = text
    locale = "" if catalog.locale is None else str(catalog.locale)
    return TranslatorFile(locale.replace("_", "-"), {id: text for id, text in targets.items() if text}, sources)


def _forms(catalog: Catalog, locale: str) -> dict[int, str]:
    """Return the CLDR form of each form of a file: the one that most of its numbers have."""
    own = _order(locale)
    theirs, found = gettext.c2py(catalog.plural_expr), known(locale)
    if found is None or _same(theirs, _choice(plural_forms(locale))):
        return dict(enumerate(own))
    taken: dict[int, Counter[str]] = defaultdict(Counter)
    for count in _COUNTS:
        taken[theirs(count)][found.plural_form(count)] += 1
    forms = {index: counter.most_common(1)[0][0] for index, counter in taken.items()}
    left = [form for form in own if form not in forms.values()]
    return forms | dict(zip(sorted(set(range(catalog.num_plurals)) - forms.keys()), left, strict=False))


def _choice(header: str) -> Callable[[int], int]:
    """Return the function of a header, from a number to the index of its form."""
    return gettext.c2py(header.partition("plural=")[2].rstrip(";"))


def _same(one: Callable[[int], int], other: Callable[[int], int]) -> bool:
    return all(one(count) == other(count) for count in _COUNTS)
