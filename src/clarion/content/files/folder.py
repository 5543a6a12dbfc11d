"""The format of a folder of templates, its content, and places and problems in its files.

```
templates/<key>/template.toml            description, category, engine, layout, locale, text; [channels.<channel>] with parts
templates/<key>/<any file>               a part that template.toml names: {file = "email.mjml"}
templates/<key>/messages.<locale>.toml   key = "text", or [key] with a text per plural category or selector
templates/<key>/channels.<locale>.toml   [<channel>] with parts that are different in that locale
templates/<key>/sample.json              {"data": {...}, "user": {...}}
templates/<key>/variables.schema.json    JSON Schema of data
layouts/<key>/layout.toml                engine, locale, mjml, html, text; messages and files as above
partials/<key>.liquid, .hbs              one file each
brand.toml                               the brand
categories.toml                          [<key>] with critical, priority and defaults
```
"""

from typing import Final

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.errors import OperatorError
from clarion.domain.template import Brand, Engine, Layout, Partial, Source

TEMPLATE_FILE: Final = "template.toml"
LAYOUT_FILE: Final = "layout.toml"
BRAND_FILE: Final = "brand.toml"
CATEGORIES_FILE: Final = "categories.toml"
SAMPLE_FILE: Final = "sample.json"
SCHEMA_FILE: Final = "variables.schema.json"
PARTIAL_ENDINGS: Final[dict[Engine, str]] = {"liquid": ".liquid", "handlebars": ".hbs"}
"""The file extension of a partial, by its language."""

Files = dict[str, str]
"""Texts of files by their paths below the folder, with `/` as separator and `\\n` as line end."""


class FileCategory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A category in `categories.toml`."""

    critical: bool = False
    priority: Lane = Lane.NORMAL
    defaults: dict[str, bool] = {}


class Folder(msgspec.Struct, frozen=True):
    """The definitions in a folder, by key."""

    templates: dict[str, Source] = {}
    layouts: dict[str, Layout] = {}
    partials: dict[str, Partial] = {}
    brand: Brand | None = None
    categories: dict[str, FileCategory] = {}


class FileLocation(msgspec.Struct, frozen=True):
    """The place of a value: a file, and its line from 1 (0 for the whole file)."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


class FileProblem(OperatorError):
    """A problem in a file that has to be corrected."""

    def __init__(self, place: FileLocation, detail: str) -> None:
        super().__init__(f"{place}: {detail}")
        self.place = place
        self.detail = detail
