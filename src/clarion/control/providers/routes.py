"""Provider accounts over HTTP. Credentials are write-only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from clarion.control.providers.destinations import changed_destination
from clarion.control.providers.fields import check_fields
from clarion.control.providers.verify import Verifier
from clarion.control.references import reporting, values_of
from clarion.domain.address import key
from clarion.domain.channel import Channel
from clarion.domain.errors import CredentialsRequired, InvalidField, existing
from clarion.domain.limits_delivery import ACCOUNT_WEIGHT_MAX
from clarion.domain.resilience import AccountRules, Breaker, Limits, OnAmbiguous
from clarion.domain.secret_reference import is_reference
from clarion.domain.times import shown
from clarion.ports.control_accounts import ProviderRecord, Providers, ProviderWrite
from clarion.ports.secret_stores import Secrets
from clarion.ports.telemetry import Telemetry
from clarion.ports.vendor import Traits
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, Page, flag_of, page_of, page_reply

Vendors = Mapping[tuple[Channel, str], Traits]


class ProviderBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account at a vendor. Lower `priority` is preferred; accounts of one priority share the load by `weight`, and
    one of weight 0 is used only when there is no other. Without `credentials`, the stored ones stay, unless they would be
    sent to another place. A credential may be `{"from": "<store>:<place>"}`, a reference to a secret that the operator
    permits."""

    channel: Channel
    vendor: str
    settings: dict[str, Any] = {}
    credentials: dict[str, Any] | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 100
    enabled: bool = True
    weight: Annotated[int, msgspec.Meta(ge=0, le=ACCOUNT_WEIGHT_MAX)] = 1
    limits: Limits = Limits()
    breaker: Breaker = Breaker()
    on_ambiguous: OnAmbiguous | None = None

    def __repr__(self) -> str:
        return f"ProviderBody(channel={self.channel.value!r}, vendor={self.vendor!r})"


class ProviderView(msgspec.Struct, frozen=True):
    """An account in the API's responses: of the credentials only the names of those set, and the references among
    them."""

    name: str
    channel: Channel
    vendor: str
    priority: int
    enabled: bool
    settings: dict[str, Any]
    credentials_set: tuple[str, ...]
    credentials_from: dict[str, str]
    version: int
    created_at: datetime
    updated_at: datetime
    weight: int
    limits: Limits
    breaker: Breaker
    on_ambiguous: OnAmbiguous | None


class _Handlers:
    def __init__(
        self,
        providers: Providers,
        vendors: Vendors,
        verifier: Verifier | None,
        secrets: Secrets | None,
        telemetry: Telemetry,
    ) -> None:
        self._providers = providers
        self._vendors = vendors
        self._verifier = verifier
        self._secrets = secrets
        self._telemetry = telemetry

    async def put(self, call: Call) -> Reply:
        tenant, body, name = call.caller.tenant, call.body, key(call.path["name"], "name")
        traits = self._traits(body)
        credentials = body.credentials
        kept = await self._providers.get(tenant, name) if credentials is None else None
        settings = check_fields(traits.settings, body.settings, "settings", secret=False)
        if kept is not None:
            with reporting(self._telemetry, call, name):
                kept = _checked(kept, body, traits, settings)
        if kept is None:
            credentials = await self._credentials(tenant, traits, credentials or {})
        write = ProviderWrite(
            name, body.channel, body.vendor, body.priority, body.enabled, settings, credentials, _rules(body), kept
        )  # fmt: skip
        if flag_of(call.query, "verify") and self._verifier is not None:
            await self._verifier.check(tenant, write)
        return Reply(_view(await self._providers.put(tenant, write)))

    async def get(self, call: Call) -> Reply:
        return Reply(_view(existing(await self._providers.get(call.caller.tenant, call.path["name"]), "provider")))

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        providers = await self._providers.page(call.caller.tenant, after, limit + 1)
        return page_reply(providers, limit, lambda provider: [provider.name], _view)

    async def remove(self, call: Call) -> Reply:
        existing(await self._providers.remove(call.caller.tenant, call.path["name"]), "provider")
        return Reply(status=204)

    async def _credentials(self, tenant: str, traits: Traits, given: dict[str, Any]) -> dict[str, Any]:
        """Return checked credentials. References stay references, after their values were checked."""
        values = await values_of(self._secrets, tenant, given)
        checked = check_fields(traits.credentials, values, "credentials", secret=True)
        return checked | {name: value for name, value in given.items() if is_reference(value)}

    def _traits(self, body: ProviderBody) -> Traits:
        traits = self._vendors.get((body.channel, body.vendor))
        if traits is None:
            known = ", ".join(sorted(vendor for channel, vendor in self._vendors if channel == body.channel))
            raise InvalidField(
                f"no such vendor for {body.channel} (there is {known or 'none'})", field="vendor", code="unknown_vendor"
            )
        if traits.missing:
            raise InvalidField(traits.missing, field="vendor", code="vendor_missing")
        return traits


def _checked(
    stored: ProviderRecord, body: ProviderBody, traits: Traits, settings: Mapping[str, Any]
) -> ProviderRecord | None:
    """Return the account when its credentials stay, None when it has none. Raises `CredentialsRequired` when they would be
    sent to another place: whoever names the place has to know them."""
    if not stored.credential_names:
        return None
    if stored.channel != body.channel:
        changed = "channel"
    elif stored.vendor != body.vendor:
        changed = "vendor"
    elif name := changed_destination(traits.settings, stored.settings, settings):
        changed = f"settings.{name}"
    else:
        return stored
    detail = "has changed and decides where credentials are sent: give the credentials again; nothing was stored"
    raise CredentialsRequired(detail, field=changed)


def _rules(body: ProviderBody) -> AccountRules:
    if body.breaker.open_max_ms < body.breaker.open_ms:
        raise InvalidField("must not be less than open_ms", field="breaker.open_max_ms")
    return AccountRules(body.weight, body.limits, body.breaker, body.on_ambiguous)


def _view(provider: ProviderRecord) -> ProviderView:
    values = msgspec.structs.asdict(provider)
    values["credentials_set"] = values.pop("credential_names")
    values["credentials_from"] = values.pop("credential_references")
    values |= msgspec.structs.asdict(values.pop("rules"))
    values["created_at"] = shown(values.pop("created_ms"))
    values["updated_at"] = shown(values.pop("updated_ms"))
    return ProviderView(**values)


def routes(
    providers: Providers,
    vendors: Vendors,
    verifier: Verifier | None,
    secrets: Secrets | None,
    telemetry: Telemetry,
) -> list[Route]:
    """Return the endpoints of this area; `vendors` are the declarations of all vendors, `verifier` verifies accounts
    with them, `secrets` reads credentials that are given by reference, `telemetry` gets the events of the security log."""
    do = _Handlers(providers, vendors, verifier, secrets, telemetry)
    verify = Query(
        "verify", "Verify the account with its vendor first, and store nothing when it does not work", "boolean"
    )
    write, read, tag, one = "providers:write", "providers:read", "providers", "/v1/providers/{name}"
    return [
        Route("GET", "/v1/providers", do.page, read, "List provider accounts",
              reply=Page[ProviderView], queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Create or replace a provider account",
              body=ProviderBody, reply=ProviderView, queries=(verify,), tag=tag),
        Route("GET", one, do.get, read, "Get a provider account", reply=ProviderView, tag=tag),
        Route("DELETE", one, do.remove, write, "Remove a provider account", status=204, tag=tag),
    ]  # fmt: skip
