"""Request bodies of templates."""

from typing import Annotated, Any

import msgspec

from clarion.domain.limits import KEY_CHARS_MAX
from clarion.domain.limits_content import DESCRIPTION_CHARS_MAX, VERSION_NOTE_CHARS_MAX
from clarion.domain.template import Engine, Sample, VersionNumber

Key = Annotated[str, msgspec.Meta(max_length=KEY_CHARS_MAX)]
Note = Annotated[str, msgspec.Meta(max_length=VERSION_NOTE_CHARS_MAX)]


class TranslationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A translation to one locale. A message is a text, or a text per plural category or per value of a selector;
    `channels` holds parts that replace those of the template's own locale."""

    messages: dict[str, Any] = {}
    channels: dict[str, dict[str, Any]] = {}


class TemplateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The source of a template: content per channel (part names to sources in the language of `engine`, in `locale`),
    translations in other `locales`, the `layout` around e-mails, and a `text` for channels without content of their
    own. `variables` is a JSON Schema (draft 2020-12) of its data; it is inferred when missing."""

    channels: dict[str, dict[str, Any]]
    description: Annotated[str, msgspec.Meta(max_length=DESCRIPTION_CHARS_MAX)] = ""
    category: Key | None = None
    engine: Engine = "liquid"
    layout: Key | None = None
    locale: str = "en"
    locales: dict[str, TranslationBody] = {}
    text: str | None = None
    variables: dict[str, Any] | None = None
    sample: Sample = Sample()


class PublishBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version to make current, and the reason."""

    version: VersionNumber | None = None
    note: Note = ""
