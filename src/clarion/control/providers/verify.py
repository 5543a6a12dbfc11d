"""Verification of an account with its vendor before it is stored."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from clarion.control.references import values_of
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import Conflict, EgressError, InvalidField, Unverified
from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX, VERIFY_TIMEOUT_MS
from clarion.domain.masking import mask_secrets, printable, secrets_of
from clarion.domain.message import HttpRequest, HttpResponse, SmtpReply, SmtpRequest
from clarion.domain.outcome import Misconfigured, name_of
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import ProviderRecord, ProviderWrite
from clarion.ports.directory import Directory
from clarion.ports.egress import HttpEgress, SmtpEgress
from clarion.ports.secret_stores import Secrets
from clarion.ports.vendor import Token, TokenVendor, Vendor, VerifiableVendor

_FAILED_SMTP: frozenset[int] = frozenset({421, 450, 451, 452, 454})


class Verifier:
    """Verifies accounts with their vendors. `http` and `smtp` open the guarded egress, which is closed after each
    account."""

    def __init__(
        self,
        vendors: Mapping[tuple[Channel, str], Vendor],
        directory: Directory,
        http: Callable[[], HttpEgress],
        smtp: Callable[[], SmtpEgress],
        clock: Clock,
        secrets: Secrets | None = None,
    ) -> None:
        self._vendors = vendors
        self._directory = directory
        self._http = http
        self._smtp = smtp
        self._clock = clock
        self._secrets = secrets

    async def check(self, tenant: str, write: ProviderWrite) -> None:
        """Return when an account works. Raises `InvalidField` with the vendor's words when it is misconfigured or
        cannot be verified, `Unverified` when the vendor could not be reached, and `Conflict` when the account whose
        credentials are kept has changed."""
        vendor = self._vendors[write.channel, write.vendor]
        if not hasattr(vendor, "verify_request"):
            raise _unsupported(write)
        account = await self._account(tenant, write)
        try:
            async with asyncio.timeout(VERIFY_TIMEOUT_MS / 1000):
                wrong = await self._ask(cast(VerifiableVendor, vendor), account)
        except TimeoutError:
            raise Unverified(f"{write.vendor} took too long to respond; nothing was stored") from None
        except EgressError as error:
            if error.blocked:
                raise InvalidField(error.detail, field="settings", code="egress_blocked") from None
            words = _vendor_words(error.detail, account)
            raise Unverified(f"{write.vendor} could not be reached: {words}; nothing was stored") from None
        except ValueError as error:
            raise InvalidField(_vendor_words(str(error), account), field="credentials", code="misconfigured") from None
        if wrong is not None:
            raise InvalidField(_vendor_words(wrong.detail, account), field="credentials", code="misconfigured")

    async def _account(self, tenant: str, write: ProviderWrite) -> Account:
        credentials = write.credentials
        if credentials is None:
            credentials = await self._kept(tenant, write)
        credentials = await values_of(self._secrets, tenant, credentials)
        return Account(
            tenant, write.name, write.channel, write.vendor, write.priority, write.settings, credentials,
            rules=write.rules,
        )  # fmt: skip

    async def _kept(self, tenant: str, write: ProviderWrite) -> dict[str, Any]:
        """Return the stored credentials. Raises `Conflict` when they are no longer those of the account that was
        checked, or not yet."""
        kept, stored = write.kept, await self._directory.account(tenant, write.name)
        if kept is None or stored is None or _identity(stored) != _identity(kept):
            raise Conflict("the account was changed by another request at the same time; nothing was stored",
                           retry_after_s=1)  # fmt: skip
        return stored.credentials

    async def _ask(self, vendor: VerifiableVendor, account: Account) -> Misconfigured | None:
        http = self._http()
        try:
            token = None
            if hasattr(vendor, "token_request"):
                found = await self._token(http, cast(TokenVendor, vendor), account)
                if isinstance(found, Misconfigured):
                    return found
                token = found.value
            request = vendor.verify_request(account, now_ms=self._clock.now_ms(), token=token)
            if request is None:
                raise _unsupported(account)
            return self._read(vendor, account, await self._answer(http, request), token)
        finally:
            await http.close()

    async def _token(self, http: HttpEgress, vendor: TokenVendor, account: Account) -> Token | Misconfigured:
        request = vendor.token_request(account, now_ms=self._clock.now_ms())
        token = vendor.read_token(await http.send(_bounded(request)))
        if isinstance(token, Token | Misconfigured):
            return token
        words = _vendor_words(getattr(token, "detail", ""), account)
        raise Unverified(f"{account.vendor} gave no access token ({name_of(token)}): {words}; nothing was stored")

    async def _answer(self, http: HttpEgress, request: HttpRequest | SmtpRequest) -> HttpResponse | SmtpReply:
        if isinstance(request, HttpRequest):
            return await http.send(_bounded(request))
        smtp = self._smtp()
        try:
            return await smtp.check(msgspec.structs.replace(request, timeout_ms=VERIFY_TIMEOUT_MS))
        finally:
            await smtp.close()

    def _read(
        self, vendor: VerifiableVendor, account: Account, answer: HttpResponse | SmtpReply, token: str | None
    ) -> Misconfigured | None:
        if isinstance(answer, HttpResponse):
            # A server that redirects is not the vendor's API: redirects are not followed.
            if answer.status == 429 or answer.status >= 500 or 300 <= answer.status < 400:
                raise Unverified(f"{account.vendor} answered {answer.status}; nothing was stored")
        elif answer.code in _FAILED_SMTP:
            raise Unverified(f"{account.vendor} answered {answer.code} at {answer.stage}; nothing was stored")
        wrong = vendor.read_verify(answer, account)
        return None if wrong is None else Misconfigured(_vendor_words(wrong.detail, account, token))


def _identity(account: Account | ProviderRecord) -> tuple[Channel, str, int, dict[str, Any]]:
    return account.channel, account.vendor, account.version, account.settings


def _bounded(request: HttpRequest) -> HttpRequest:
    return msgspec.structs.replace(request, timeout_ms=min(request.timeout_ms, VERIFY_TIMEOUT_MS))


def _unsupported(what: ProviderWrite | Account) -> InvalidField:
    return InvalidField(
        f"an account such as this one at {what.vendor} cannot be verified without sending", field="verify",
        code="verify_unsupported",
    )  # fmt: skip


def _vendor_words(words: str, account: Account, token: str | None = None) -> str:
    """Return a vendor's words without secrets and control characters, cut to `ATTEMPT_DETAIL_CHARS_MAX`."""
    return printable(mask_secrets(words, secrets_of(account.credentials, token)))[:ATTEMPT_DETAIL_CHARS_MAX]
