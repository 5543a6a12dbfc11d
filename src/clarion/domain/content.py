"""What tenants define once and deliveries refer to: templates, categories and provider accounts."""

from typing import Any

import msgspec

from clarion.domain.channel import Channel, Lane


class Template(msgspec.Struct, frozen=True):
    """Content per channel. `parts[channel]` maps a part name (`subject`, `html`, `body`, ...) to Liquid source.

    Part values may be strings or, for structured parts such as push `data`, maps and lists with strings as leaves.
    `variables` are the top-level names under `data` that a request has to bring.
    """

    key: str
    version: int
    category: str | None
    parts: dict[Channel, dict[str, Any]]
    variables: tuple[str, ...] = ()
    uses_user: bool = False


class Category(msgspec.Struct, frozen=True):
    """What a notification is about. A critical category cannot be opted out of."""

    key: str
    critical: bool = False
    lane: Lane = Lane.NORMAL
    defaults: dict[str, bool] = {}


class Account(msgspec.Struct, frozen=True):
    """A provider: one tenant's account at a vendor. Credentials never appear in its repr."""

    tenant: str
    name: str
    channel: Channel
    vendor: str
    priority: int
    settings: dict[str, Any]
    credentials: dict[str, Any]
    version: int = 0

    def __repr__(self) -> str:
        return f"Account(tenant={self.tenant!r}, name={self.name!r}, vendor={self.vendor!r})"
