"""The stores that accounts name secrets of: those of this machine, HashiCorp Vault and clouds when they are set up, and
plug-ins."""

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Final

from clarion.app.config.secret_settings import CREDENTIALS_DIRECTORY
from clarion.app.config.settings import Config
from clarion.domain.errors import OperatorError
from clarion.domain.secret_reference import parse_permissions
from clarion.outbound.secrets.environment import EnvironmentStore
from clarion.outbound.secrets.files import FileStore, SystemdStore
from clarion.outbound.secrets.reader import SecretReader
from clarion.outbound.secrets.settings import Secrets
from clarion.outbound.secrets.vault_server import VaultServer
from clarion.ports.clock import Clock
from clarion.ports.secret_stores import SecretStore
from clarion.ports.telemetry import Telemetry

PLUGINS: Final = "clarion.secret_stores"
"""The group of entry points: each is a function without arguments that returns a `ports.secret_stores.SecretStore`. Its
name is the part of a reference before the colon."""
_ALLOW: Final = "secrets.allow"


def secret_reader(config: Config, env: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> SecretReader:
    """Return the reader of the secrets that accounts name. Raises `OperatorError` for permissions that cannot be
    understood, and for a store that cannot be set up."""
    permissions = parse_permissions(config.secrets.allow, _ALLOW)
    stores: dict[str, SecretStore] = {
        "env": EnvironmentStore(env),
        "file": FileStore([config.data_dir]),
        "systemd": SystemdStore(env.get(CREDENTIALS_DIRECTORY)),
    }
    if config.secrets.vault.address:
        stores["vault"] = _vault(config.secrets.vault)
    for name, make in _CLOUDS.items():
        if any(one.store == name for one in permissions):
            stores[name] = _cloud(name, make, config.secrets)
    for one in metadata.entry_points(group=PLUGINS) if permissions else ():
        if one.name in stores:
            raise OperatorError(f"The secret store {one.name!r} of the plug-in {one.value!r} has a name that is taken.")
        try:
            stores[one.name] = one.load()()
        except Exception as error:
            raise OperatorError(f"The secret store {one.name!r} cannot be set up ({type(error).__name__}).") from error
    unknown = sorted({one.store for one in permissions} - stores.keys())
    if unknown:
        raise OperatorError(f"Setting {_ALLOW}: there is no store {unknown[0]!r} (there is {', '.join(stores)}).")
    absent = {name: words for name, words in _ABSENT.items() if name not in stores}
    return SecretReader(stores, permissions, clock, telemetry, absent)


def _vault(server: VaultServer) -> SecretStore:
    try:
        from clarion.outbound.secrets.vault import VaultStore
    except ImportError:
        raise OperatorError(
            "Setting secrets.vault.address: the client of Vault is not installed; run: pip install 'clarion[vault]'."
        ) from None
    needed = {"token": ("token",), "approle": ("role",), "kubernetes": ("role", "jwt_file")}[server.auth]
    for name in needed:
        if not getattr(server, name):
            raise OperatorError(f"Setting secrets.vault.{name}: is needed to log in to Vault by {server.auth}.")
    return VaultStore(server)


def _cloud(name: str, make: Callable[[Secrets], SecretStore], settings: Secrets) -> SecretStore:
    try:
        return make(settings)
    except ImportError:
        raise OperatorError(
            f"Setting {_ALLOW}: the client of the store {name!r} is not installed; run: pip install 'clarion[{name}]'."
        ) from None
    except OperatorError:
        raise
    except Exception as error:
        raise OperatorError(f"The secret store {name!r} cannot be set up ({type(error).__name__}).") from error


def _aws(settings: Secrets) -> SecretStore:
    from clarion.outbound.secrets.aws import AwsAccess, AwsStore

    store = AwsStore(AwsAccess(settings.aws.region, settings.aws.endpoint))
    if not store.region:
        raise OperatorError(
            "Setting secrets.aws.region: is needed, as neither AWS_DEFAULT_REGION nor a profile has one."
        )
    return store


def _gcp(settings: Secrets) -> SecretStore:
    from clarion.outbound.secrets.gcp import GcpAccess, GcpStore

    return GcpStore(GcpAccess(settings.gcp.endpoint))


def _azure(settings: Secrets) -> SecretStore:
    from clarion.outbound.secrets.azure import AzureAccess, AzureStore

    return AzureStore(AzureAccess(settings.azure.domain))


_CLOUDS: Final = {"aws": _aws, "azure": _azure, "gcp": _gcp}
_ABSENT: Final = {
    "vault": "it needs 'clarion[vault]' to be installed and the setting secrets.vault.address",
    **{name: f"it needs 'clarion[{name}]' to be installed and an entry in the setting {_ALLOW}" for name in _CLOUDS},
}
"""What the stores need that are not set up by themselves."""
