"""The section `api.tls`."""

from typing import Annotated, Literal

import msgspec

from clarion.domain.limits_processes import TLS_HANDSHAKE_MS_MAX
from clarion.domain.settings import Positive, Section


class Tls(Section, frozen=True):
    """TLS of the HTTP API; without a certificate it speaks plain HTTP."""

    certificate_file: str
    key_file: str
    min_version: Literal["1.2", "1.3"]
    handshake_timeout_ms: Annotated[int, msgspec.Meta(ge=100, le=TLS_HANDSHAKE_MS_MAX)]
    reload_interval_s: Positive
    client_ca_file: str
    client_certificate: Literal["required", "optional"]
