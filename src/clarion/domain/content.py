"""What tenants define once and deliveries refer to: templates, categories and provider accounts."""

from typing import Any, Final

import msgspec

from clarion.domain.cap import Cap, OverCap
from clarion.domain.channel import Channel, Lane
from clarion.domain.resilience import AccountRules, OnOutage
from clarion.domain.route import Route

GONE_VERSION: Final = 0
"""Version of what stands for a template that was removed."""


class Template(msgspec.Struct, frozen=True, omit_defaults=True):
    """A template as it is sent: built, so that nothing but rendering is left to do.

    `parts[channel]` maps a part name (`subject`, `html`, `body`, ...) to a source in the language of `engine`, in `locale`.
    Part values may be strings or, for structured parts such as push `data`, maps and lists with strings as leaves.
    `locales` holds the same in every other locale, whole. `derived` are channels without content of their own: they are
    sent on only when asked for. `variables` are the top-level names under `data` that a request has to bring, `schema` the
    JSON Schema of `data` where there is more to say. `chanced` are names that parts read and the author's schema lets be
    missing: without them, those parts cannot be rendered.
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
"""Of each group at least one part has to be there."""


class CategoryRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """How notifications of a category are decided about, beyond its defaults.

    `quiet_hours` of False ignores quiet hours; what they hold for longer than `hold_max` is not sent any more. Over one
    of `caps`, `over_cap` says what happens; a digest is what the workflow `digest_workflow` makes of it. While the provider
    of a channel is down, a route goes on to its next channel (`degrade`) or waits.
    """

    quiet_hours: bool = True
    hold_max: str = "24h"
    caps: tuple[Cap, ...] = ()
    over_cap: OverCap = "skip"
    digest_workflow: str | None = None
    route: Route | None = None
    on_outage: OnOutage = "degrade"


class Category(msgspec.Struct, frozen=True):
    """What a notification is about. A critical category cannot be opted out of, waits for nothing and has no caps."""

    key: str
    critical: bool = False
    lane: Lane = Lane.NORMAL
    defaults: dict[str, bool] = {}
    rules: CategoryRules = CategoryRules()


class Account(msgspec.Struct, frozen=True):
    """A provider: one tenant's account at a vendor. Credentials never appear in its repr."""

    tenant: str
    name: str
    channel: Channel
    vendor: str
    priority: int
    settings: dict[str, Any]
    credentials: dict[str, Any]
    version: int = 0
    rules: AccountRules = AccountRules()

    def __repr__(self) -> str:
        return f"Account(tenant={self.tenant!r}, name={self.name!r}, vendor={self.vendor!r})"
