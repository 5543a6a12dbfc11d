"""Secrets in HashiCorp Vault, by its client hvac: `vault:mount/path#field`, in a KV engine of version 1 or 2.

Which part of the path is the mount, and the engine's version, are asked of Vault, as its own command line does
(`sys/internal/ui/mounts`). A token that was refused is replaced by logging in again, once per read.
"""

import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import hvac
from hvac import exceptions as refusals
from requests import RequestException

from clarion.domain.limits import VAULT_MOUNTS_MAX
from clarion.domain.limits_processes import VAULT_CALL_S_MAX
from clarion.outbound.secrets.vault_server import VaultServer
from clarion.ports.secret_stores import SecretUnavailable


class VaultStore:
    """Reads fields of secrets. One client per thread; they share the token."""

    def __init__(self, server: VaultServer) -> None:
        self._server = server
        self._token = server.token
        self._logging_in = threading.Lock()
        self._own = threading.local()
        self._mounts: dict[str, tuple[str, str]] = {}

    def read(self, place: str, root: str) -> bytes:
        """Return a field of a secret. Raises `SecretUnavailable`."""
        path, _, field = place.partition("#")
        if not path.partition("/")[2] or not field or quote(path, safe="/") != path:
            raise SecretUnavailable("secret_reference_invalid", "is not mount/path#field")
        try:
            values = self._values(path)
        except refusals.InvalidPath:
            raise SecretUnavailable("secret_missing", "does not exist") from None
        except (refusals.Forbidden, refusals.Unauthorized):
            raise SecretUnavailable(
                "secret_unavailable", "cannot be read: Vault refuses this installation", lasting=False
            ) from None
        except (refusals.VaultError, RequestException, OSError, KeyError, TypeError) as error:
            # The last two are an answer in another form than Vault's: a redirect, which is not followed, or a proxy's.
            words = f"cannot be read from Vault ({type(error).__name__})"
            raise SecretUnavailable("secret_unavailable", words, lasting=False) from None
        if field not in values:
            raise SecretUnavailable("secret_missing", "has no such field")
        if not isinstance(values[field], str):
            raise SecretUnavailable("secret_not_text", "is not text")
        return str(values[field]).encode()

    def _values(self, path: str) -> dict[str, Any]:
        token = self._token or self._log_in("")
        try:
            return self._read(path, token)
        except (refusals.Forbidden, refusals.Unauthorized):
            if self._server.auth == "token":
                raise
            return self._read(path, self._log_in(token))

    def _read(self, path: str, token: str) -> dict[str, Any]:
        client = self._client(token)
        mount, version = self._mount(client, path)
        inner = path.removeprefix(mount)
        if version == "2":
            found = client.secrets.kv.v2.read_secret_version(
                inner, mount_point=mount.rstrip("/"), raise_on_deleted_version=True
            )
            return dict(found["data"]["data"])
        return dict(client.secrets.kv.v1.read_secret(inner, mount_point=mount.rstrip("/"))["data"])

    def _mount(self, client: hvac.Client, path: str) -> tuple[str, str]:
        """Return the mount of a path with a slash at its end, and the engine's version. Vault answers 403 for a path
        that the token may not read, whether it exists or not."""
        for mount, version in list(self._mounts.values()):
            if path.startswith(mount):
                return mount, version
        data = client.adapter.get(f"/v1/sys/internal/ui/mounts/{path}")["data"]
        if data["type"] not in ("kv", "generic"):
            raise SecretUnavailable("secret_missing", "is not in a KV secrets engine")
        found = data["path"], (data["options"] or {}).get("version", "1")
        if len(self._mounts) >= VAULT_MOUNTS_MAX:
            self._mounts.clear()
        self._mounts[data["path"]] = found
        return found

    def _client(self, token: str) -> hvac.Client:
        client: hvac.Client | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = self._made()
        client.token = token
        return client

    def _made(self) -> hvac.Client:
        server = self._server
        return hvac.Client(
            url=server.address,
            namespace=server.namespace or None,
            verify=server.ca_file or True,
            timeout=VAULT_CALL_S_MAX,
            allow_redirects=False,
        )

    def _log_in(self, refused: str) -> str:
        """Return a token other than the refused one, for all threads."""
        server = self._server
        with self._logging_in:
            if self._token == refused:
                client = self._made()
                if server.auth == "approle":
                    client.auth.approle.login(
                        server.role, server.secret_id or None, mount_point=server.mount or "approle"
                    )
                else:
                    jwt = Path(server.jwt_file).read_text().strip()
                    client.auth.kubernetes.login(server.role, jwt, mount_point=server.mount or "kubernetes")
                self._token = client.token
            return self._token

    def __repr__(self) -> str:
        return f"VaultStore({self._server!r})"
