"""Sources of templates, the layouts and partials they share, the tenant's brand, and versions."""

from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Template

BRAND_KEY: Final = "tenant"
"""Key of the one brand a tenant has."""

Message = str | dict[str, str]
"""A text in the template's language, or one per CLDR plural category (`one`, `other`, ...) or per value of a selector
(`female`, `male`, `other`); `other` is required."""

Engine = Literal["liquid", "handlebars"]

VersionNumber = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]
"""The number of a version that a request names."""


class Translation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The translation of a template in one locale: messages, and parts that replace those of `channels`."""

    messages: dict[str, Message] = {}
    channels: dict[Channel, dict[str, Any]] = {}


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Made-up data and user for previews of a template."""

    data: dict[str, Any] = {}
    user: dict[str, Any] = {}


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The source of a template, as its author writes it.

    `channels[channel]` maps part names to sources in the language of `engine`, in `locale`. `{% t greeting %}` in a
    source (Handlebars: `{{t "greeting"}}`) is replaced by the message `greeting` of the locale before compilation.
    `layout` names the frame around e-mails. `text` is the content of channels without one of their own, when a request
    names them. `variables` is a JSON Schema of `data`; it is inferred when missing.
    """

    channels: dict[Channel, dict[str, Any]]
    description: str = ""
    category: str | None = None
    engine: Engine = "liquid"
    layout: str | None = None
    locale: str = "en"
    locales: dict[str, Translation] = {}
    text: str | None = None
    variables: dict[str, Any] | None = None
    sample: Sample = Sample()


def whole_source(template: Template) -> Source:
    """Return a source for a template that was built elsewhere, with all its parts and locales."""
    return Source(
        template.parts, "", template.category, "handlebars" if template.engine == "handlebars" else "liquid",
        locale=template.locale,
        locales={tag: Translation(channels=parts) for tag, parts in template.locales.items()},
        variables=template.schema,
    )  # fmt: skip


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A frame around e-mails: `mjml` or `html`, and `text`, each with `{{ content }}` in the place of the e-mail. It is
    written in Liquid or Handlebars, like the templates that use it."""

    KIND: ClassVar[str] = "layout"

    text: str = "{{ content }}"
    mjml: str | None = None
    html: str | None = None
    engine: Engine = "liquid"
    locale: str = "en"
    locales: dict[str, Translation] = {}


class Partial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A piece of source that templates and layouts include by name: `{% partial key %}`, in Handlebars `{{> key}}`."""

    KIND: ClassVar[str] = "partial"

    source: str
    engine: Engine = "liquid"


class Brand(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The name and design of a tenant; templates read it as `brand`, and a change applies to all of them at once.

    Colours are `#rgb` or `#rrggbb`, URLs are https. `sender_name` and `reply_to` are used where a template sets none.
    """

    KIND: ClassVar[str] = "brand"

    name: str = ""
    logo_url: str = ""
    website_url: str = ""
    support_email: str = ""
    preferences_url: str = ""
    legal_address: str = ""
    sender_name: str = ""
    reply_to: str = ""
    font_family: str = "Helvetica, Arial, sans-serif"
    primary_color: str = "#3056d3"
    on_primary_color: str = "#ffffff"
    background_color: str = "#f3f4f6"
    surface_color: str = "#ffffff"
    text_color: str = "#1f2937"
    muted_color: str = "#6b7280"


class VersionNote(msgspec.Struct, frozen=True):
    """A version without its content: its author, publisher and times."""

    version: int
    current: bool
    created_ms: int
    created_by: str
    published_ms: int | None
    published_by: str | None
    note: str


class TemplateVersion(msgspec.Struct, frozen=True):
    """A version of a template: a draft until it is published, unchangeable from then on. `template` was built from
    `source`. `by` are ids of API keys; times are Unix ms. The `current` version is the one that is sent."""

    key: str
    version: int
    source: Source
    template: Template
    current: bool
    created_ms: int
    created_by: str
    published_ms: int | None = None
    published_by: str | None = None
    note: str = ""
