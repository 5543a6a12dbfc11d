"""Reads secrets that are given by reference: in threads, once for all that wait, cached briefly.

A value is used for `SECRET_FRESH_MS` at most; while it is in use, it is read again after `SECRET_AHEAD_MS`, so that no
delivery waits for its store. When the store cannot be read, the last value is used for `SECRET_KEPT_MS`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.content import Account
from clarion.domain.limits import SECRET_BYTES_MAX
from clarion.domain.limits_processes import (
    SECRET_AHEAD_MS,
    SECRET_FRESH_MS,
    SECRET_KEPT_MS,
    SECRET_READ_MS_MAX,
    SECRET_READS_MAX,
    SECRET_REREAD_MS,
    SECRET_RETRY_MS,
    SECRETS_HELD_MAX,
)
from clarion.domain.secret_reference import Permission, SecretReference, is_held_by, is_reference, parse, permitted
from clarion.domain.security_events import SecurityEvent
from clarion.ports.clock import Clock
from clarion.ports.secret_stores import SecretStore, SecretUnavailable
from clarion.ports.telemetry import Telemetry

_Key = tuple[str, SecretReference]
"""A tenant and the secret that it names."""
_NOT_PERMITTED: Final = "is not permitted to this tenant by the setting secrets.allow"


class _Held:
    """The last value of a secret, when it was read, when a read was last tried, and how that failed (monotonic ms)."""

    __slots__ = ("error", "read_ms", "tried_ms", "value")

    def __init__(self) -> None:
        self.value: str | None = None
        self.read_ms = 0
        self.tried_ms = 0
        self.error: SecretUnavailable | None = None


class _Resolved(NamedTuple):
    """An account as it was read, with the values of its references, and until when these need no look."""

    source: Account
    account: Account
    until_ms: int

    def __repr__(self) -> str:
        return f"_Resolved({self.source!r})"


class SecretReader:
    """Implements `ports.secret_stores.Secrets` over stores by their names. Belongs to one event loop."""

    def __init__(
        self,
        stores: Mapping[str, SecretStore],
        permissions: Sequence[Permission],
        clock: Clock,
        telemetry: Telemetry,
        absent: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`absent` says of stores that could be set up what is needed for it."""
        self._stores = stores
        self._permissions = permissions
        self._clock = clock
        self._telemetry = telemetry
        self._absent = absent
        self._held: dict[_Key, _Held] = {}
        self._reads: dict[_Key, asyncio.Task[_Held]] = {}
        self._accounts: dict[tuple[str, str], _Resolved] = {}
        # One pool per store, so that a store that hangs delays no other one. They start no thread before a read.
        self._threads = {name: ThreadPoolExecutor(SECRET_READS_MAX, f"secrets-{name}") for name in stores}

    def held(self, account: Account) -> Account | None:
        """Return the account with the values of its references when all of them are cached, else None."""
        resolved = self._accounts.get((account.tenant, account.name))
        if resolved is None or resolved.source is not account or resolved.until_ms <= self._clock.monotonic_ms():
            return None
        return resolved.account

    async def resolve(self, account: Account) -> Account:
        """Return the account with the values of its references. Raises `SecretUnavailable`."""
        credentials, until_ms = dict(account.credentials), self._clock.monotonic_ms() + SECRET_AHEAD_MS
        for name in account.references:
            field, reference = _parsed(name, account.credentials)
            credentials[name], read_ms = await self._value((account.tenant, reference), field)
            until_ms = min(until_ms, read_ms + SECRET_AHEAD_MS)
        place = account.tenant, account.name
        known = self._accounts.get(place)
        if known is not None and known.source is account and known.account.credentials == credentials:
            usable = known.account
        else:
            usable = msgspec.structs.replace(account, credentials=credentials, references=())
        if len(self._accounts) >= SECRETS_HELD_MAX:
            self._accounts.clear()
        self._accounts[place] = _Resolved(account, usable, until_ms)
        return usable

    async def reread(self, account: Account, refused: Account) -> Account | None:
        """Return the account with newly read values after the vendor refused those of `refused`; None when they are
        the same. Raises `SecretUnavailable`."""
        for name in account.references:
            _, reference = _parsed(name, account.credentials)
            held = self._held.get((account.tenant, reference))
            if held is None or (
                held.value == refused.credentials[name]
                and self._clock.monotonic_ms() - held.tried_ms >= SECRET_REREAD_MS
            ):
                await self._read((account.tenant, reference))
        again = await self.resolve(account)
        return None if again.credentials == refused.credentials else again

    async def values(self, tenant: str, sources: Mapping[str, str], path: str) -> dict[str, str]:
        """Return the values of references (`store:place`) by the names of the fields below `path` that hold them.
        Raises `SecretUnavailable`."""
        found = {}
        for name, source in sources.items():
            field = f"{path}.{name}"
            found[name], _ = await self._value((tenant, parse({"from": source}, field)), field)
        return found

    async def check(self, tenant: str, fields: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Return the values of fields, some of which may be references, read now. Raises `SecretUnavailable`, and
        `InvalidField` for a reference that is malformed."""
        values = dict(fields)
        for name, value in fields.items():
            if is_reference(value):
                field = f"{path}.{name}"
                reference = parse(value, field)
                held = await self._read((tenant, reference))
                if held.error is not None:
                    raise held.error.of(field, str(reference))
                values[name] = held.value
        return values

    async def close(self) -> None:
        """Stop all reads."""
        for task in list(self._reads.values()):
            task.cancel()
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    async def _value(self, key: _Key, field: str) -> tuple[str, int]:
        """Return the value of a secret and when it was read."""
        held, now_ms = self._held.get(key), self._clock.monotonic_ms()
        if held is not None and held.value is not None:
            age_ms = now_ms - held.read_ms
            if age_ms < SECRET_FRESH_MS or (held.error is not None and age_ms < SECRET_KEPT_MS):
                if age_ms >= SECRET_AHEAD_MS and (held.error is None or now_ms - held.tried_ms >= SECRET_RETRY_MS):
                    self._begin(key)
                return held.value, held.read_ms
        if held is None or held.error is None or now_ms - held.tried_ms >= SECRET_RETRY_MS:
            held = await self._read(key)
        if held.value is None or (
            held.error is not None and self._clock.monotonic_ms() - held.read_ms >= SECRET_KEPT_MS
        ):
            error = held.error or SecretUnavailable("secret_unavailable", "could not be read")
            raise error.of(field, str(key[1]))
        return held.value, held.read_ms

    async def _read(self, key: _Key) -> _Held:
        """Read a secret, or wait for the read that is under way."""
        return await asyncio.shield(self._begin(key))

    def _begin(self, key: _Key) -> asyncio.Task[_Held]:
        task = self._reads.get(key)
        if task is None:
            task = self._reads[key] = asyncio.create_task(self._load(key))
            task.add_done_callback(lambda _: self._reads.pop(key, None))
        return task

    async def _load(self, key: _Key) -> _Held:
        value: str | None = None
        error: SecretUnavailable | None = None
        try:
            value = await self._fetch(*key)
        except SecretUnavailable as fault:
            error = fault
            self._telemetry.security(
                SecurityEvent.SECRET_UNAVAILABLE, tenant=key[0], reason=fault.code, subject=str(key[1])
            )
        if key not in self._held and len(self._held) >= SECRETS_HELD_MAX:
            self._held.clear()
        held = self._held.setdefault(key, _Held())
        held.tried_ms, held.error = self._clock.monotonic_ms(), error
        if value is not None:
            held.value, held.read_ms = value, held.tried_ms
        return held

    async def _fetch(self, tenant: str, reference: SecretReference) -> str:
        store = self._stores.get(reference.store)
        if store is None:
            known = f"there is {', '.join(sorted(self._stores))}"
            known = self._absent.get(reference.store, known)
            raise SecretUnavailable("secret_store_unknown", f"is of a store that is not set up here ({known})")
        root = permitted(self._permissions, tenant, reference)
        if root is None:
            raise SecretUnavailable("secret_not_permitted", _NOT_PERMITTED)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SECRET_READ_MS_MAX / 1000):
                return text_of(
                    await loop.run_in_executor(self._threads[reference.store], store.read, reference.place, root)
                )
        except SecretUnavailable:
            raise
        except TimeoutError:
            raise SecretUnavailable("secret_unavailable", "was not read in time", lasting=False) from None
        except Exception as error:  # noqa: BLE001 - the words of a store's error may contain the secret
            words = f"cannot be read ({type(error).__name__})"
            raise SecretUnavailable("secret_unavailable", words, lasting=False) from None


def text_of(content: bytes) -> str:
    """Return the text of a secret as its store holds it. Raises `SecretUnavailable`."""
    if not content:
        raise SecretUnavailable("secret_empty", "is empty")
    if len(content) > SECRET_BYTES_MAX:
        raise SecretUnavailable("secret_too_large", f"is larger than {SECRET_BYTES_MAX} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SecretUnavailable("secret_not_text", "is not UTF-8 text") from None
    if "\0" in text:
        raise SecretUnavailable("secret_not_text", "contains NUL")
    if is_held_by(text):
        raise SecretUnavailable("secret_is_reference", "is itself a reference, which is not followed")
    return text


def _parsed(name: str, credentials: Mapping[str, Any]) -> tuple[str, SecretReference]:
    field = f"credentials.{name}"
    return field, parse(credentials[name], field)
