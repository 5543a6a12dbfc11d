"""Whose credentials have to be looked at again: those that may have ended. Most of many connections have not, and are not touched."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from clarion.domain.token_key import TokenKey
from clarion.gateway.client import Client

_BUCKET_MS: Final = 4_096


class Credentials:
    """The clients of a gateway by when their tokens expire, those who are new, and the keys of their tenants at the last look."""

    def __init__(self) -> None:
        self._expiring: dict[int, set[Client]] = {}
        self._new: set[Client] = set()
        self._keys: dict[str, TokenKey] = {}
        self._looked_ms = 0

    def add(self, client: Client) -> None:
        """Record a client."""
        self._expiring.setdefault(client.expires_ms // _BUCKET_MS, set()).add(client)
        self._new.add(client)

    def discard(self, client: Client) -> None:
        """Forget a client."""
        self._new.discard(client)
        bucket = client.expires_ms // _BUCKET_MS
        of_bucket = self._expiring.get(bucket)
        if of_bucket is not None:
            of_bucket.discard(client)
            if not of_bucket:
                del self._expiring[bucket]

    def ended(self, clients: Iterable[Client], keys: Mapping[str, TokenKey], now_ms: int) -> list[Client]:
        """Return those of the clients whose tokens have expired or are of a key that is not valid any more. `keys` are those of
        their tenants, as far as they are known."""
        # A tenant whose key is the same, and no key before it ended meanwhile, had its old clients looked at.
        changed = {
            tenant
            for tenant, key in keys.items()
            if key != self._keys.get(tenant) or self._looked_ms < key.previous_until_ms
        }
        suspects = {*self._new, *self._expired(now_ms)}
        if changed:
            suspects.update(client for client in clients if client.tenant in changed)
        self._new = {client for client in self._new if client.tenant not in keys}
        self._keys, self._looked_ms = dict(keys), now_ms
        return [client for client in suspects if not _is_valid(client, keys.get(client.tenant), now_ms)]

    def _expired(self, now_ms: int) -> Iterator[Client]:
        last = now_ms // _BUCKET_MS
        for bucket in [bucket for bucket in self._expiring if bucket <= last]:
            yield from self._expiring[bucket]


def _is_valid(client: Client, key: TokenKey | None, now_ms: int) -> bool:
    return client.expires_ms > now_ms and (key is None or key.permits(client.generation, now_ms))
