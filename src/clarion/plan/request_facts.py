"""The facts that all recipients of one request share: built from definitions, and stored for explanations."""

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
from clarion.plan.rules.request_facts import CapRule, RequestFacts
from clarion.ports.directory import Defined

_NO_POLICY: Final = Policy()
_JSON: Final = msgspec.json.Encoder(order="sorted")


class StoredRequestFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stored part of request facts, from which decisions can be explained later."""

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


_FACTS: Final = msgspec.json.Decoder(StoredRequestFacts)


RequestFactsKey: TypeAlias = tuple[str, str, str | None, tuple[str, ...], Route | None, str, int]
"""The inputs of request facts: tenant, template, category, channels, route, workflow and its version."""


def request_facts_key(tenant: str, request: Request, route: Route | None = None) -> RequestFactsKey:
    """Return the key of a request's facts."""
    channels = tuple(request.channels) if request.channels else ()
    return (tenant, request.template, request.category, channels, route, request.workflow, request.workflow_version)


class Definitions(NamedTuple):
    """The definitions that request facts are built from: the current template, category and policy, if any; the
    accounts of each channel, preferred first; the tenant's default preferences; the sending workflow in its version;
    and the digest workflow for deliveries over a cap."""

    template: Template | None
    category: Category | None
    policy: Policy | None
    accounts: Mapping[Channel, Sequence[str]]
    defaults: Matrix
    workflow: Workflow | None
    digest: Defined[Workflow] | None


def category_of(key: RequestFactsKey, template: Template | None) -> str:
    """Return the name of the category of a request; empty when it has none."""
    _, _, named, *_ = key
    return named or (template.category if template else None) or ""


def route_of(key: RequestFactsKey, category: Category | None) -> Route | None:
    """Return the route of a request: its own, else the category's unless the request names channels."""
    _, _, _, channels, route, *_ = key
    return route if route is not None or channels or category is None else category.rules.route


def channels_for(key: RequestFactsKey, template: Template | None, category: Category | None) -> tuple[Channel, ...]:
    """Return the channels to plan."""
    _, _, _, channels, *_ = key
    return channels_of(template or _removed_template(key), channels, route_of(key, category))


def channels_within(key: RequestFactsKey) -> tuple[Channel, ...]:
    """Return a superset of the channels to plan, for any template and category."""
    _, _, _, channels, route, *_ = key
    if channels or route is not None:
        return channels_for(key, None, None)
    return CHANNELS


def digest_of(key: RequestFactsKey, category: Category | None) -> str | None:
    """Return the name of the digest workflow for deliveries over a cap. None without one, and for sends of that
    workflow itself, which must not be merged into a digest again."""
    *_, workflow, _ = key
    named = category.rules.digest_workflow if category else None
    return named if named and named != workflow else None


def request_facts_of(key: RequestFactsKey, defined: Definitions) -> RequestFacts:
    """Return the facts that all recipients of a request share."""
    template = defined.template or _removed_template(key)
    category = defined.category or Category(key=category_of(key, template))
    policy = defined.policy or _NO_POLICY
    channels = channels_for(key, template, category)
    providers = {channel: names[0] for channel, names in defined.accounts.items() if names}
    digest = defined.digest
    # A workflow that sends before it collects would exceed the cap anyway, and could loop back here without end.
    collects = digest is not None and isinstance(digest.body.steps[0], Digest)
    request_facts = RequestFacts(
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
    return msgspec.structs.replace(request_facts, facts=_JSON.encode(_facts(request_facts, providers)))


def _caps(category: Category, policy: Policy) -> tuple[CapRule, ...]:
    return cap_rules(category.key, category.rules.caps) + cap_rules("*", policy.caps)


def _facts(request_facts: RequestFacts, providers: dict[Channel, str]) -> StoredRequestFacts:
    return StoredRequestFacts(
        template=request_facts.template.key,
        template_version=request_facts.template.version,
        content=tuple(request_facts.template.parts),
        category=request_facts.category,
        channels=request_facts.channels,
        providers=providers,
        defaults=request_facts.defaults,
        workflow_defaults=dict(request_facts.workflow_defaults),
        route=request_facts.route,
        caps=request_facts.caps,
        digest=request_facts.digest,
        quiet_hours=request_facts.quiet_hours,
        zone=request_facts.zone,
    )


def restore(kept: bytes) -> RequestFacts:
    """Return the request facts from their stored form; the template has no content, only the channels it had content
    for."""
    facts = _FACTS.decode(kept)
    template = Template(facts.template, facts.template_version, None, {channel: {} for channel in facts.content})
    return RequestFacts(
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


def provider_of(request_facts: RequestFacts, channel: Channel) -> str | None:
    """Return the name of the provider account that would send a delivery on a channel, None without one."""
    return _FACTS.decode(request_facts.facts).providers.get(channel)


def _removed_template(key: RequestFactsKey) -> Template:
    """Return the placeholder of a template that was removed since the request was accepted: it has no content on any
    channel."""
    _, template, *_ = key
    return Template(template, GONE_VERSION, None, {})
