"""Secrets in Azure Key Vault, by its client: `azure:vault/secret`, with `/version` and `#field` of JSON as wished.

The credentials are those of the library's own chain (`DefaultAzureCredential`). A token is sent to no vault outside of
the domain that the operator has set: names of vaults have no dots, and the library compares the domain of the challenge.
"""

import re
import threading
from typing import Any, Final, NamedTuple

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

from clarion.domain.limits_processes import CLOUD_CALL_S_MAX
from clarion.outbound.secrets.json_field import field_of, split_place
from clarion.ports.secret_stores import SecretUnavailable

_NAME: Final = re.compile(r"([a-z][a-z0-9-]{1,22}[a-z0-9])/([0-9A-Za-z-]{1,127})(?:/([0-9a-f]{32}))?")


class AzureAccess(NamedTuple):
    """The domain below which the vaults are; each cloud of Azure has its own."""

    domain: str


class AzureStore:
    """Reads secrets of any vault that permissions name. One set of connections per thread; they share the tokens."""

    def __init__(self, access: AzureAccess) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._credential: Any = None
        self._own = threading.local()

    def read(self, place: str, root: str) -> bytes:
        """Return a secret, or a field of it. Raises `SecretUnavailable`."""
        name, field = split_place(place)
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise SecretUnavailable("secret_reference_invalid", "is not vault/secret[/version]")
        try:
            value = self._client(parts[1]).get_secret(parts[2], parts[3]).value
        except ResourceNotFoundError:
            raise SecretUnavailable("secret_missing", "does not exist") from None
        except (AzureError, OSError, ValueError) as error:
            raise _unavailable(error) from None
        if value is None:
            raise SecretUnavailable("secret_missing", "has no value")
        return field_of(value.encode(), field)

    def _client(self, vault: str) -> SecretClient:
        """Return a client of a vault. It costs no call: connections and tokens are kept elsewhere."""
        transport: RequestsTransport | None = getattr(self._own, "transport", None)
        if transport is None:
            transport = self._own.transport = transport_over()
        address = f"https://{vault}.{self._access.domain}"
        return SecretClient(
            address, self._get_credentials(), transport=transport, retry_total=0, permit_redirects=False
        )

    def _get_credentials(self) -> Any:
        with self._lock:
            if self._credential is None:
                self._credential = DefaultAzureCredential(
                    process_timeout=CLOUD_CALL_S_MAX,
                    connection_timeout=CLOUD_CALL_S_MAX,
                    read_timeout=CLOUD_CALL_S_MAX,
                    retry_total=0,
                )
            return self._credential

    def __repr__(self) -> str:
        return f"AzureStore({self._access!r})"


def transport_over(session: Any = None) -> RequestsTransport:
    """Return the connections of a thread, over a session of `requests` that is given or new."""
    return RequestsTransport(session=session, connection_timeout=CLOUD_CALL_S_MAX, read_timeout=CLOUD_CALL_S_MAX)


def _unavailable(error: Exception) -> SecretUnavailable:
    if isinstance(error, ClientAuthenticationError) or getattr(error, "status_code", None) == 403:
        words = "cannot be read: Azure refuses this installation"
    elif isinstance(error, HttpResponseError):
        words = f"cannot be read from Azure (status {error.status_code})"
    else:
        words = f"cannot be read from Azure ({type(error).__name__})"
    return SecretUnavailable("secret_unavailable", words, lasting=False)
