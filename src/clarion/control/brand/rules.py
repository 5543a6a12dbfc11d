"""Validation of a brand. Its fields are inserted into the markup, styles and headers of every template's e-mails."""

import re
from typing import Final

import msgspec

from clarion.domain.address import email, single_line, url
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import BRAND_TEXT_CHARS_MAX
from clarion.domain.template import Brand

_COLOR: Final = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_FONTS: Final = re.compile(r"[A-Za-z0-9 ,-]+")
_TAGS: Final = ("{{", "{%", "}}", "%}")


def check_brand(brand: Brand) -> Brand:
    """Return a brand with its addresses in canonical form. Raises `InvalidField` naming the first invalid field."""
    given = msgspec.structs.asdict(brand)
    checked = {name: _check(name, text) for name, text in given.items() if text}
    for name in given.keys() - checked.keys():
        if name == "font_family" or name.endswith("_color"):
            raise InvalidField("must not be empty", field=name)
    return Brand(**checked)


def _check(name: str, text: str) -> str:
    single_line(text, name, BRAND_TEXT_CHARS_MAX)
    if any(mark in text for mark in _TAGS):
        raise InvalidField("is not a template: it must not contain tags", field=name)
    if name.endswith("_color") and not _COLOR.fullmatch(text):
        raise InvalidField("must be a colour such as #08f or #0088ff", field=name)
    if name == "font_family" and not _FONTS.fullmatch(text):
        raise InvalidField("must be names of fonts without quotes, separated by commas", field=name)
    if name.endswith("_url"):
        return _https(text, name)
    return email(text, name) if name in ("support_email", "reply_to") else text


def _https(text: str, name: str) -> str:
    if not text.lower().startswith("https://"):
        raise InvalidField("must be an https URL", field=name)
    return url(text, name)
