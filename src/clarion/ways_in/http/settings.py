"""The section `api`: where the HTTP API listens, and its limits."""

from typing import Annotated

import msgspec

from clarion.domain.limits import REQUESTS_BURST_MAX, REQUESTS_PER_S_MAX
from clarion.domain.limits_processes import TRUSTED_PROXIES_MAX
from clarion.domain.settings import NotNegative, OptionalUrl, Port, Positive, Section
from clarion.edge.tls.settings import Tls

PerSecond = Annotated[int, msgspec.Meta(ge=0, le=REQUESTS_PER_S_MAX)]
Burst = Annotated[int, msgspec.Meta(ge=1, le=REQUESTS_BURST_MAX)]


class Limits(Section, frozen=True):
    """Limits on requests: a second, where 0 is no limit, and at once. `refused_keys` is the number of refused API keys of
    a peer without a wait; 0 is never to let one wait. `connections` are new ones of a peer."""

    key_per_s: PerSecond
    key_burst: Burst
    tenant_per_s: PerSecond
    tenant_burst: Burst
    user_per_s: PerSecond
    user_burst: Burst
    public_per_s: PerSecond
    public_burst: Burst
    connections_per_s: PerSecond
    connections_burst: Burst
    refused_keys: NotNegative


class Api(Section, frozen=True):
    """Where the HTTP API listens, and its limits."""

    host: str
    port: Port
    health_host: str
    health_port: Port
    linger_ms: NotNegative
    max_backlog_events: Positive
    max_requests: Positive
    max_requests_per_tenant: Positive
    public_url: OptionalUrl
    hsts_max_age_s: NotNegative
    hsts_subdomains: bool
    trusted_proxies: Annotated[list[str], msgspec.Meta(max_length=TRUSTED_PROXIES_MAX)]
    tls: Tls
    limits: Limits
