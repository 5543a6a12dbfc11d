"""HashiCorp Vault as it is set up; apart from its client, which need not be installed."""

from typing import Annotated, Literal

import msgspec


class VaultServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The server, and how to log in: `token`, `approle` (`role` is the role id) or `kubernetes` (`role` is its name).
    `mount` is where the method is enabled; empty is its default. Without an address there is no server."""

    address: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\x00-\x20\x7f<>\"?#@]+)?$")]
    namespace: str
    auth: Literal["token", "approle", "kubernetes"]
    mount: str
    token: str
    role: str
    secret_id: str
    jwt_file: str
    ca_file: str

    def __repr__(self) -> str:
        return f"VaultServer(address={self.address!r}, auth={self.auth!r})"
