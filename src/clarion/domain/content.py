"""Definitions that deliveries refer to: templates, categories and provider accounts."""

from typing import Annotated, Any, Final

import msgspec

from clarion.domain.cap import Cap, OverCap
from clarion.domain.channel import Channel, Lane
from clarion.domain.limits import NAME_CHARS_MAX
from clarion.domain.resilience import AccountRules, OnOutage
from clarion.domain.route import Route

CATEGORY_KIND: Final = "category"
TEMPLATE_KIND: Final = "template"
"""The kinds of the documents that hold categories, and templates."""
GONE_VERSION: Final = 0
"""Version of the placeholder for a removed template."""


class Template(msgspec.Struct, frozen=True, omit_defaults=True):
    """A template as it is sent: built, so that only rendering remains.

    `parts[channel]` maps a part name (`subject`, `html`, `body`, ...) to a source in the language of `engine`, in `locale`.
    Part values may be strings or, for structured parts such as push `data`, maps and lists with strings as leaves.
    `locales` holds complete parts for every other locale. `derived` are channels without content of their own: they are
    used only when a request names them. `variables` are the required top-level names under `data`, `schema` the JSON
    Schema of `data` when it demands more than these. `chanced` are names that parts need but the author's schema does
    not require: without them, those parts cannot be rendered.
    """

    key: str
    version: int
    category: str | None
    parts: dict[Channel, dict[str, Any]]
    variables: tuple[str, ...] = ()
    uses_user: bool = False
    engine: str = "liquid"
    locale: str = "en"
    locales: dict[str, dict[Channel, dict[str, Any]]] = {}
    derived: tuple[Channel, ...] = ()
    schema: dict[str, Any] | None = None
    chanced: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True):
    """A part of a channel's content: `kind` is `text`, `line` (one line: it becomes a header) or `tree` (JSON with Liquid
    in its strings, or text); `html` output is escaped."""

    kind: str = "text"
    html: bool = False


PARTS: Final[dict[Channel, dict[str, Part]]] = {
    Channel.EMAIL: {
        "subject": Part("line"),
        "preheader": Part("line"),
        "text": Part(),
        "html": Part(html=True),
        "mjml": Part(html=True),
        "from_name": Part("line"),
        "reply_to": Part("line"),
    },
    Channel.SMS: {"body": Part()},
    Channel.PUSH: {
        "title": Part("line"),
        "body": Part(),
        "image": Part("line"),
        "url": Part("line"),
        "data": Part("tree"),
        "actions": Part("tree"),
        "collapse_key": Part("line"),
    },
    Channel.WEBPUSH: {
        "title": Part("line"),
        "body": Part(),
        "icon": Part("line"),
        "image": Part("line"),
        "url": Part("line"),
        "data": Part("tree"),
        "actions": Part("tree"),
    },
    Channel.WHATSAPP: {"body": Part(), "template": Part("tree")},
    Channel.CHAT: {"text": Part(), "blocks": Part("tree")},
    Channel.INAPP: {
        "title": Part("line"),
        "body": Part(),
        "url": Part("line"),
        "image": Part("line"),
        "avatar": Part("line"),
        "data": Part("tree"),
        "actions": Part("tree"),
        "collapse_key": Part("line"),
    },
    Channel.WEBHOOK: {"type": Part("line"), "data": Part("tree")},
}
"""The parts a template may have, per channel. `preheader` and `mjml` become part of `html` when the template is built."""

REQUIRED_PARTS: Final[dict[Channel, tuple[tuple[str, ...], ...]]] = {
    Channel.EMAIL: (("subject",), ("text", "html", "mjml")),
    Channel.SMS: (("body",),),
    Channel.PUSH: (("title", "body", "data"),),
    Channel.WEBPUSH: (("title", "body", "data"),),
    Channel.WHATSAPP: (("body", "template"),),
    Channel.CHAT: (("text", "blocks"),),
    Channel.INAPP: (("title", "body"),),
    Channel.WEBHOOK: (("data",),),
}
"""Groups of parts, of each of which at least one part is required."""


class CategoryRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """The planning rules of a category, beyond its defaults.

    `quiet_hours` of False ignores quiet hours; a delivery that they would hold for longer than `hold_max` is not sent.
    `over_cap` is what happens to a delivery over one of `caps`; the workflow `digest_workflow` makes the digest. While
    the provider of a channel is down, a route continues with its next channel (`degrade`) or waits. `name` is what
    users read instead of its key.
    """

    quiet_hours: bool = True
    hold_max: str = "24h"
    caps: tuple[Cap, ...] = ()
    over_cap: OverCap = "skip"
    digest_workflow: str | None = None
    route: Route | None = None
    on_outage: OnOutage = "degrade"
    name: Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)] = ""


class Category(msgspec.Struct, frozen=True):
    """What a notification is about. Users cannot opt out of a critical category; it is never held and has no caps."""

    key: str
    critical: bool = False
    lane: Lane = Lane.NORMAL
    defaults: dict[str, bool] = {}
    rules: CategoryRules = CategoryRules()


class _StoredCategory(CategoryRules, frozen=True):
    critical: bool = False
    priority: Lane = Lane.NORMAL
    defaults: dict[str, bool] = msgspec.field(default_factory=dict)


def read_category(key: str, raw: bytes | str) -> Category:
    """Return a category from its stored body. Raises `msgspec.MsgspecError` when only a newer build can read it."""
    body = _CATEGORY.decode(raw)
    rules = {name: getattr(body, name) for name in CategoryRules.__struct_fields__}
    return Category(key, body.critical, body.priority, body.defaults, CategoryRules(**rules))


_CATEGORY: Final = msgspec.json.Decoder(_StoredCategory)


class Account(msgspec.Struct, frozen=True):
    """An account of a tenant at a vendor. Its repr never contains credentials. `references` are the names of those
    credentials that are references; their values have to be resolved before the account is used."""

    tenant: str
    name: str
    channel: Channel
    vendor: str
    priority: int
    settings: dict[str, Any]
    credentials: dict[str, Any]
    version: int = 0
    rules: AccountRules = AccountRules()
    references: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Account(tenant={self.tenant!r}, name={self.name!r}, vendor={self.vendor!r})"
