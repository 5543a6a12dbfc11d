"""Rendering of gathered content: chooses the locale, compiles new templates, renders. It reads nothing."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, NamedTuple, NoReturn

from clarion.content.compiled import Compiled, compile_channel, content_of, locale_for
from clarion.content.fit import segmented
from clarion.content.links import Links, shortened
from clarion.content.marking import add_test_mark
from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.fitting import Fitted
from clarion.domain.limits_content import COMPILED_CHANNELS_MAX, COMPILED_TEMPLATES_MAX, LOCALES_PER_TEMPLATE_SEEN_MAX
from clarion.domain.locales import spoken
from clarion.domain.planned import PlannedDelivery
from clarion.domain.template import Brand
from clarion.ports.renderer import Engines, RenderError

TEST_MARK: Final = "clarion.test"
"""Key of the metadata that makes a notification a test."""
_NO_USER: Final[Mapping[str, Any]] = {}


class NotGathered(LookupError):
    """A template or a tenant's context was not gathered before rendering: a programming error."""


class NotCompiled(LookupError):
    """A channel of a template that was to be rendered at once has to be compiled first, which may be slow."""


class TenantContext(NamedTuple):
    """The context shared by a tenant's templates."""

    brand: Brand
    locale: str
    zone: str


class _CachedChannel(NamedTuple):
    """A compiled channel, and the source and brand it was compiled from."""

    source: dict[str, Any]
    brand: Brand
    compiled: Compiled


class _LocaleChoices(NamedTuple):
    """For each locale of a user the locale of the content, and the one for dates and numbers."""

    template: Template
    tenant_context: TenantContext
    locales: dict[str, tuple[str, str]]


class Rendering:
    """Renders gathered templates, by (tenant, key), with the contexts of their tenants. None is a template that does
    not exist."""

    def __init__(self, engines: Engines, links: Links | None = None) -> None:
        self._engines = engines
        self._links = links
        self._templates: dict[tuple[str, str], Template | None] = {}
        self._tenant_contexts: dict[str, TenantContext] = {}
        self._locales: dict[tuple[str, str], _LocaleChoices] = {}
        self._compiled: dict[tuple[str, str, str, Channel, str], _CachedChannel] = {}

    def render(
        self,
        planned: PlannedDelivery,
        channel: Channel,
        unsubscribe_url: str = "",
        fitted: list[Fitted] | None = None,
        *,
        at_once: bool = False,
    ) -> dict[str, Any]:
        """Return the rendered parts of a delivery. Changes made to fit a limit are added to `fitted`. Raises
        `RenderError`, and as `render_template` does."""
        tenant, key, metadata = planned.tenant, planned.template, planned.metadata
        template = self._templates.get((tenant, key)) or self._missing(tenant, key)
        at_ms = ids.created_ms(ids.notification_of(planned.delivery_id))
        parts = self.render_template(
            tenant,
            template,
            channel,
            planned.data,
            planned.user,
            planned.locale,
            at_ms,
            unsubscribe_url,
            fitted,
            at_once=at_once,
        )
        parts = add_test_mark(channel, parts) if metadata and TEST_MARK in metadata else parts
        if channel is Channel.SMS and fitted is not None and (split := segmented(parts)):
            fitted.append(split)
        return parts

    def render_template(
        self,
        tenant: str,
        template: Template,
        channel: Channel,
        data: Mapping[str, Any],
        user: Mapping[str, Any] | None,
        locale: str,
        at_ms: int,
        unsubscribe_url: str = "",
        fitted: list[Fitted] | None = None,
        *,
        at_once: bool = False,
    ) -> dict[str, Any]:
        """Return the rendered parts of a channel, in the template's best locale for `locale`; `user` is the user's data
        that the template may read, `at_ms` (Unix ms) when the notification was made. Raises `RenderError`,
        `NotGathered`, and, with `at_once`, `NotCompiled`."""
        tenant_context = self._tenant_contexts.get(tenant)
        if tenant_context is None:
            raise NotGathered(f"the context of tenant {tenant}")
        content, written = self._locale_choice(tenant, template, locale, tenant_context)
        compiled = self._channel(tenant, template, channel, content, tenant_context.brand, at_once=at_once)
        zone = (user.get("zone") if user else None) or tenant_context.zone
        parts = compiled.render(data, user or _NO_USER, written, zone, at_ms, unsubscribe_url, fitted)
        return shortened(parts, tenant, self._links) if self._links and channel is Channel.SMS else parts

    def _missing(self, tenant: str, key: str) -> NoReturn:
        if (tenant, key) in self._templates:
            raise RenderError(f"there is no template {key}")
        raise NotGathered(f"template {key} of tenant {tenant}")

    def _locale_choice(
        self, tenant: str, template: Template, locale: str, tenant_context: TenantContext
    ) -> tuple[str, str]:
        """Return the locale of the content, and the one for dates and numbers."""
        held = self._locales.get((tenant, template.key))
        if held is None or held.template is not template or held.tenant_context is not tenant_context:
            if len(self._locales) >= COMPILED_TEMPLATES_MAX:
                self._locales.clear()
            held = self._locales[tenant, template.key] = _LocaleChoices(template, tenant_context, {})
        found = held.locales.get(locale)
        if found is None:
            content = locale_for(template, locale, tenant_context.locale)
            if len(held.locales) >= LOCALES_PER_TEMPLATE_SEEN_MAX:
                held.locales.clear()
            found = held.locales[locale] = (content, spoken(locale, content))
        return found

    def _channel(
        self, tenant: str, template: Template, channel: Channel, locale: str, brand: Brand, *, at_once: bool
    ) -> Compiled:
        """Return a compiled channel, cached by content, not by version: a change of the layout does not change the
        version."""
        place = (tenant, template.key, template.engine, channel, locale)
        source = content_of(template, locale).get(channel)
        held = self._compiled.get(place)
        if held is not None and held.source is source and held.brand is brand:
            return held.compiled
        if held is not None and held.source == source and held.brand == brand:
            compiled = held.compiled
        elif at_once:
            raise NotCompiled(f"{channel} of template {template.key}")
        else:
            compiled = compile_channel(template, locale, channel, brand, self._engines)
        if len(self._compiled) >= COMPILED_CHANNELS_MAX:
            for oldest in list(islice(self._compiled, COMPILED_CHANNELS_MAX // 4)):
                self._compiled.pop(oldest, None)  # another thread may render
        self._compiled[place] = _CachedChannel(source or {}, brand, compiled)
        return compiled
