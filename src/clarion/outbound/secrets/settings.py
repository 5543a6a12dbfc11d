"""The section `secrets`."""

from typing import Annotated

import msgspec

from clarion.domain.settings import OptionalUrl, Section
from clarion.outbound.secrets.vault_server import VaultServer


class AwsSecrets(Section, frozen=True):
    """AWS Secrets Manager. Empty: as the library finds them."""

    region: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]*$")]
    endpoint: OptionalUrl


class GcpSecrets(Section, frozen=True):
    """Google Secret Manager."""

    endpoint: Annotated[str, msgspec.Meta(pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]+)?$")]


class AzureSecrets(Section, frozen=True):
    """Azure Key Vault."""

    domain: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


class Secrets(Section, frozen=True):
    """Which secrets accounts may name instead of giving them, and where else than on this machine."""

    allow: list[str]
    vault: VaultServer
    aws: AwsSecrets
    gcp: GcpSecrets
    azure: AzureSecrets
