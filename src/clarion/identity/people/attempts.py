"""Attempts to sign in, counted for all processes together: by account, whether there is one or not, and by address.

An attempt is counted before the password is checked, so that many at the same moment are not all free, and taken back when it was
right. Who has to wait is refused without a check; the wait ends by itself, so nobody is locked out for good.
"""

from hashlib import blake2b
from ipaddress import ip_address, ip_network
from typing import Final

from clarion.domain.credential_delays import Refusals, refused_again
from clarion.domain.errors import Overloaded, RequestLimited
from clarion.domain.limits_people import (
    ACCOUNT_ATTEMPTS_FREE,
    ADDRESS_ATTEMPTS_FREE,
    ATTEMPT_TRIES_MAX,
    ATTEMPTS_FORGET_MS,
)
from clarion.domain.person import comparable
from clarion.domain.quota import Usage
from clarion.ports.clock import Clock
from clarion.ports.quotas import BucketName, Quotas
from clarion.ports.versioned import Change

DELAYED: Final = "sign_in_delayed"
_OWNER: Final = "sign-in"
_ALL: Final = ("", "\U0010ffff")
_PREFIX_BITS: Final = 64


class Attempts:
    """Counts attempts in the store of quotas."""

    def __init__(self, quotas: Quotas, clock: Clock) -> None:
        self._quotas = quotas
        self._clock = clock
        self._forgotten_ms = 0

    async def begin(self, account: str, address: str) -> None:
        """Count an attempt. Raises `RequestLimited` while the account or the address has to wait; then it is not counted."""
        await self._forget()
        for _ in range(ATTEMPT_TRIES_MAX):
            names, now_ms = _names(account, address), self._clock.now_ms()
            found = await self._quotas.read(names)
            known = [Refusals(one.value.used_m, one.value.at_ms) for one in found]
            wait_ms = max(one.until_ms for one in known) - now_ms
            if wait_ms > 0:
                detail = "too many wrong attempts; wait a moment and try again"
                raise RequestLimited(detail, retry_after_s=-(-wait_ms // 1000), code=DELAYED)
            frees = (ACCOUNT_ATTEMPTS_FREE, ADDRESS_ATTEMPTS_FREE)
            after = [refused_again(one, free, now_ms) for one, free in zip(known, frees, strict=True)]
            changes = [
                Change(name, one.version, Usage(next_.number, next_.until_ms))
                for name, one, next_ in zip(names, found, after, strict=True)
            ]
            if (await self._quotas.swap([changes]))[0].stored:
                return
        raise Overloaded("too many attempts at the same moment", retry_after_s=1)

    async def succeed(self, account: str, address: str) -> None:
        """Forget the attempts of an account, and take the last one back from the address. If others are counted at this moment, theirs
        count."""
        names = _names(account, address)
        own, whole = await self._quotas.read(names)
        number = max(0, whole.value.used_m - 1)
        until_ms = whole.value.at_ms if number else 0
        await self._quotas.swap(
            [[Change(names[0], own.version, Usage())], [Change(names[1], whole.version, Usage(number, until_ms))]]
        )

    async def _forget(self) -> None:
        """Remove what was counted long ago, now and then."""
        now_ms = self._clock.now_ms()
        if now_ms - self._forgotten_ms >= ATTEMPTS_FORGET_MS:
            self._forgotten_ms = now_ms
            await self._quotas.forget("", _OWNER, _ALL, (now_ms - ATTEMPTS_FORGET_MS, now_ms + ATTEMPTS_FORGET_MS))


def _names(account: str, address: str) -> list[BucketName]:
    # The address of a person is not stored among counts.
    digest = blake2b(comparable(account).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return [BucketName("", _OWNER, f"account/{digest}"), BucketName("", _OWNER, f"address/{_network(address)}")]


def _network(address: str) -> str:
    """Return an IPv4 address, or the first 64 bits of an IPv6 one: one customer usually has all the addresses below them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ip_network((parsed, _PREFIX_BITS), strict=False))
