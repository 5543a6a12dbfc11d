"""The facts all recipients of one request share, read once and kept until a definition changes."""

from typing import Any, Final

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import GONE_VERSION, Category, Template
from clarion.domain.duration import duration_ms
from clarion.domain.limits import SETTINGS_MAX
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.quiet import QuietHours
from clarion.domain.route import Route
from clarion.domain.workflow import Digest, Workflow
from clarion.journal.events import Request
from clarion.plan.rules.caps import cap_rules
from clarion.plan.rules.decide import channels_of
from clarion.plan.rules.preferences import Matrix
from clarion.plan.rules.setting import CapRule, Setting
from clarion.ports.directory import Directory

_NO_POLICY: Final = Policy()
_JSON: Final = msgspec.json.Encoder(order="sorted")


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
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


_FACTS: Final = msgspec.json.Decoder(Facts)


class Settings:
    """Settings by what they depend on: tenant, template, category, channels, route and workflow."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: dict[tuple[Any, ...], Setting] = {}

    def of(self, tenant: str, request: Request, route: Route | None = None) -> Setting | None:
        """Return the setting of a request, None when it has to be read first (`read`)."""
        return self._known.get(_key(tenant, request, route))

    def read(self, tenant: str, request: Request, route: Route | None = None) -> Setting:
        """Read the setting of a request and keep it: the same object until `forget`."""
        setting = self._known[_key(tenant, request, route)] = self._read(tenant, request, route)
        return setting

    def full(self) -> bool:
        """Return whether no more are to be kept."""
        return len(self._known) >= SETTINGS_MAX

    def forget(self) -> None:
        """Read everything again."""
        self._known.clear()

    def _read(self, tenant: str, request: Request, route: Route | None) -> Setting:
        template = self._directory.template(tenant, request.template) or _gone(request)
        name = request.category or template.category or ""
        category = self._directory.category(tenant, name) or Category(key=name)
        defined = self._directory.definition(tenant, Policy, POLICY_KEY)
        policy = defined.body if defined else _NO_POLICY
        if route is None and not request.channels:
            route = category.rules.route
        channels = channels_of(template, request.channels, route)
        accounts = {channel: self._directory.accounts(tenant, channel) for channel in channels}
        providers = {channel: found[0].name for channel, found in accounts.items() if found}
        caps = () if category.critical else _caps(category, policy)
        setting = Setting(
            template=template,
            category=category,
            channels=channels,
            sendable=frozenset({*providers, Channel.INAPP}),
            defaults=self._directory.defaults(tenant),
            workflow_defaults=self._workflow_defaults(tenant, request),
            route=route,
            caps=caps,
            digest=self._digest(tenant, category, request),
            quiet_hours=policy.quiet_hours,
            zone=policy.zone,
            hold_max_ms=duration_ms(category.rules.hold_max),
        )
        return msgspec.structs.replace(setting, facts=_JSON.encode(_facts(setting, providers)))

    def _digest(self, tenant: str, category: Category, request: Request) -> tuple[str, int] | None:
        key = category.rules.digest_workflow
        if not key or key == request.workflow:
            return None  # a digest that is over the cap itself must not go into a digest
        found = self._directory.definition(tenant, Workflow, key)
        # One that sends before it collects would send all the same, and could come back here without end.
        collects = found is not None and isinstance(found.body.steps[0], Digest)
        return (found.key, found.version) if found is not None and collects else None

    def _workflow_defaults(self, tenant: str, request: Request) -> dict[str, bool]:
        if not request.workflow:
            return {}
        found = self._directory.definition(tenant, Workflow, request.workflow, request.workflow_version)
        return found.body.defaults if found else {}


def _key(tenant: str, request: Request, route: Route | None) -> tuple[Any, ...]:
    channels = tuple(request.channels) if request.channels else ()
    return (tenant, request.template, request.category, channels, route, request.workflow, request.workflow_version)


def _caps(category: Category, policy: Policy) -> tuple[CapRule, ...]:
    return cap_rules(category.key, category.rules.caps) + cap_rules("*", policy.caps)


def _facts(setting: Setting, providers: dict[Channel, str]) -> Facts:
    return Facts(
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


def _gone(request: Request) -> Template:
    """Return what stands for a template removed since the request was accepted: no channel has content."""
    return Template(request.template, GONE_VERSION, None, {})
