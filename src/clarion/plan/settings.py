"""The facts all recipients of one request share: put together from definitions, and what of them is kept for explanations."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.content import GONE_VERSION, Category, Template
from clarion.domain.duration import duration_ms
from clarion.domain.policy import Policy
from clarion.domain.quiet import QuietHours
from clarion.domain.route import Route
from clarion.domain.workflow import Digest, Workflow
from clarion.journal.events import Request
from clarion.plan.rules.caps import cap_rules
from clarion.plan.rules.decide import channels_of
from clarion.plan.rules.preferences import Matrix
from clarion.plan.rules.setting import CapRule, Setting
from clarion.ports.directory import Defined

_NO_POLICY: Final = Policy()
_JSON: Final = msgspec.json.Encoder(order="sorted")


class KeptFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a setting, so that decisions made from it can be explained later."""

    template: str
    template_version: int
    content: tuple[Channel, ...]
    category: Category
    channels: tuple[Channel, ...]
    providers: dict[Channel, str]
    defaults: Matrix = {}
    workflow_defaults: dict[str, bool] = {}
    route: Route | None = None
    caps: tuple[CapRule, ...] = ()
    digest: tuple[str, int] | None = None
    quiet_hours: QuietHours = QuietHours()
    zone: str = "UTC"


_FACTS: Final = msgspec.json.Decoder(KeptFacts)


SettingKey: TypeAlias = tuple[str, str, str | None, tuple[str, ...], Route | None, str, int]
"""What a setting depends on: tenant, template, category, channels, route, workflow and its version."""


def setting_key(tenant: str, request: Request, route: Route | None = None) -> SettingKey:
    """Return under which key the setting of a request is found."""
    channels = tuple(request.channels) if request.channels else ()
    return (tenant, request.template, request.category, channels, route, request.workflow, request.workflow_version)


class Definitions(NamedTuple):
    """What a setting is made of: the template, the category and the policy as they are now, where there are such; the
    accounts of each channel, preferred first; the tenant's default preferences; the workflow that sends, in the version
    that does; and the workflow that takes what is over a cap."""

    template: Template | None
    category: Category | None
    policy: Policy | None
    accounts: Mapping[Channel, Sequence[str]]
    defaults: Matrix
    workflow: Workflow | None
    digest: Defined[Workflow] | None


def category_of(key: SettingKey, template: Template | None) -> str:
    """Return the name of the category of a request; empty when it has none."""
    _, _, named, *_ = key
    return named or (template.category if template else None) or ""


def route_of(key: SettingKey, category: Category | None) -> Route | None:
    """Return the route of a request: its own, else the category's unless it asks for channels."""
    _, _, _, channels, route, *_ = key
    return route if route is not None or channels or category is None else category.rules.route


def channels_for(key: SettingKey, template: Template | None, category: Category | None) -> tuple[Channel, ...]:
    """Return the channels to plan."""
    _, _, _, channels, *_ = key
    return channels_of(template or _gone(key), channels, route_of(key, category))


def channels_within(key: SettingKey) -> tuple[Channel, ...]:
    """Return channels among which those to plan are, whatever template and category say."""
    _, _, _, channels, route, *_ = key
    if channels or route is not None:
        return channels_for(key, None, None)
    return CHANNELS


def digest_of(key: SettingKey, category: Category | None) -> str | None:
    """Return the workflow that takes what is over a cap: none for what that workflow itself sends, which must not go into
    a digest again."""
    *_, workflow, _ = key
    named = category.rules.digest_workflow if category else None
    return named if named and named != workflow else None


def setting_of(key: SettingKey, defined: Definitions) -> Setting:
    """Return what all recipients of a request share."""
    template = defined.template or _gone(key)
    category = defined.category or Category(key=category_of(key, template))
    policy = defined.policy or _NO_POLICY
    channels = channels_for(key, template, category)
    providers = {channel: names[0] for channel, names in defined.accounts.items() if names}
    digest = defined.digest
    # One that sends before it collects would send all the same, and could come back here without end.
    collects = digest is not None and isinstance(digest.body.steps[0], Digest)
    setting = Setting(
        template=template,
        category=category,
        channels=channels,
        sendable=frozenset({*providers, Channel.INAPP}),
        defaults=defined.defaults,
        workflow_defaults=defined.workflow.defaults if defined.workflow else {},
        route=route_of(key, category),
        caps=() if category.critical else _caps(category, policy),
        digest=(digest.key, digest.version) if digest is not None and collects else None,
        quiet_hours=policy.quiet_hours,
        zone=policy.zone,
        hold_max_ms=duration_ms(category.rules.hold_max),
    )
    return msgspec.structs.replace(setting, facts=_JSON.encode(_facts(setting, providers)))


def _caps(category: Category, policy: Policy) -> tuple[CapRule, ...]:
    return cap_rules(category.key, category.rules.caps) + cap_rules("*", policy.caps)


def _facts(setting: Setting, providers: dict[Channel, str]) -> KeptFacts:
    return KeptFacts(
        template=setting.template.key,
        template_version=setting.template.version,
        content=tuple(setting.template.parts),
        category=setting.category,
        channels=setting.channels,
        providers=providers,
        defaults=setting.defaults,
        workflow_defaults=dict(setting.workflow_defaults),
        route=setting.route,
        caps=setting.caps,
        digest=setting.digest,
        quiet_hours=setting.quiet_hours,
        zone=setting.zone,
    )


def restored(kept: bytes) -> Setting:
    """Return the setting that kept facts tell of; its template has no content but knows for which channels it had."""
    facts = _FACTS.decode(kept)
    template = Template(facts.template, facts.template_version, None, {channel: {} for channel in facts.content})
    return Setting(
        template=template,
        category=facts.category,
        channels=facts.channels,
        sendable=frozenset({*facts.providers, Channel.INAPP}),
        defaults=facts.defaults,
        workflow_defaults=facts.workflow_defaults,
        route=facts.route,
        caps=facts.caps,
        digest=facts.digest,
        quiet_hours=facts.quiet_hours,
        zone=facts.zone,
        hold_max_ms=duration_ms(facts.category.rules.hold_max),
        facts=kept,
    )


def provider_of(setting: Setting, channel: Channel) -> str | None:
    """Return the provider account a delivery on a channel would be sent with."""
    return _FACTS.decode(setting.facts).providers.get(channel)


def _gone(key: SettingKey) -> Template:
    """Return what stands for a template removed since the request was accepted: no channel has content."""
    _, template, *_ = key
    return Template(template, GONE_VERSION, None, {})
