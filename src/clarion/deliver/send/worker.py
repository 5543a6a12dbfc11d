"""One attempt: render, build, send, read. The only place that maps a vendor's request to its transport."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

import msgspec

from clarion.content.gather import Contents
from clarion.content.render import NotGathered
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.compose import compose
from clarion.deliver.rules.sanitize import mask_secrets, sanitized, secrets_of
from clarion.deliver.send.worker_batches import Batches
from clarion.deliver.send.worker_email import EmailEnricher, EmailNotReady, has_large_files
from clarion.deliver.send.worker_renders import Renders
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import EgressError, Sent, StoreUnavailable
from clarion.domain.fitting import Fitted, OverLimit, in_words
from clarion.domain.limits_delivery import SLOW_BUILDS_MAX, TOKENS_MAX
from clarion.domain.message import AppriseRequest, HttpRequest, LocalReply, LocalRequest, Message, Request, SmtpRequest
from clarion.domain.outcome import Accepted, Ambiguous, Misconfigured, Outcome, Refused, Transient
from clarion.domain.planned import PlannedDelivery
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.egress import AppriseEgress, HttpEgress, SmtpEgress
from clarion.ports.renderer import RenderError
from clarion.ports.secret_stores import Secrets, SecretUnavailable
from clarion.ports.telemetry import Telemetry
from clarion.ports.unsubscribe_links import UnsubscribeLinks
from clarion.ports.vendor import Token, TokenVendor, Vendor
from clarion.runtime.followed import catch_up

TOKEN_MARGIN_MS = 60_000
"""A token is renewed this long before it expires."""


class Sender:
    """Makes attempts for every channel of one process."""

    def __init__(
        self,
        directory: Directory,
        vendors: Mapping[tuple[Channel, str], Vendor],
        contents: Contents,
        http: HttpEgress,
        smtp: SmtpEgress,
        clock: Clock,
        telemetry: Telemetry,
        unsubscribe_links: UnsubscribeLinks | None = None,
        apprise: AppriseEgress | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._directory = directory
        self._vendors = vendors
        self._contents = contents
        self._http = http
        self._smtp = smtp
        self._apprise = apprise
        self._secrets = secrets
        self._clock = clock
        self._telemetry = telemetry
        self._tokens = _Tokens(http, clock)
        self._batches = Batches(http, clock, telemetry)
        self._enricher = EmailEnricher(directory, http, unsubscribe_links)
        # Starts no thread before the first slow build or render.
        self._slow = ThreadPoolExecutor(SLOW_BUILDS_MAX, thread_name_prefix="build")
        self._renders = Renders(contents, self._slow)

    async def catch_up(self) -> None:
        """Wait until the cached definitions are recent enough to use."""
        await catch_up(self._directory)

    def missing_reads(self, channel: Channel, rows: Sequence[PlannedDelivery]) -> list[Coroutine[Any, Any, None]]:
        """Return the reads that load what the attempts of a batch are rendered from, as of now: to be run concurrently,
        and none where all of it is cached."""
        templates = {(row.tenant, row.template) for row in rows}
        reading = self._contents.missing_reads(templates, {tenant for tenant, _ in templates})
        if channel is Channel.EMAIL:
            reading += self._enricher.missing_reads({(row.tenant, row.category) for row in rows})
        return reading

    async def attempt(
        self, channel: Channel, row: PlannedDelivery, account: Account | None, urgent: bool = False
    ) -> Answer:
        """Make one attempt and return its answer. Never raises for an error of a provider, template or account. An
        urgent attempt never waits to share a call."""
        if account is None:
            return Answer(Misconfigured(f"no provider for {channel}"), "", "")
        vendor = self._vendors.get((channel, account.vendor))
        if vendor is None:
            return Answer(Misconfigured(f"no vendor {account.vendor} for {channel}"), account.name, account.vendor)
        if account.references and self._secrets is not None:
            return await self._attempt_by_reference(channel, row, account, vendor, urgent, self._secrets)
        return await self._attempt(channel, row, account, vendor, urgent)

    async def _attempt_by_reference(
        self,
        channel: Channel,
        row: PlannedDelivery,
        account: Account,
        vendor: Vendor,
        urgent: bool,
        secrets: Secrets,
    ) -> Answer:
        """Make an attempt with the values of the account's references, and once more when the vendor refused them and
        they have changed since. While one cannot be read, the account counts as misconfigured."""
        try:
            used = secrets.held(account) or await secrets.resolve(account)
            answer = await self._attempt(channel, row, used, vendor, urgent)
            if isinstance(answer.outcome, Misconfigured) and (again := await secrets.reread(account, used)) is not None:
                answer = await self._attempt(channel, row, again, vendor, urgent)
        except SecretUnavailable as error:
            answer = Answer(Misconfigured(str(error)), account.name, account.vendor)
        return answer

    async def _attempt(
        self, channel: Channel, row: PlannedDelivery, account: Account, vendor: Vendor, urgent: bool
    ) -> Answer:
        fitted: list[Fitted] = []
        try:
            outcome = await self._send(channel, row, account, vendor, urgent, fitted)
        except RenderError as error:
            outcome = Refused("render_failed", str(error))
        except OverLimit as error:
            outcome = Refused("over_limit", str(error))
        except ValueError as error:
            outcome = Refused("unbuildable", str(error))
        except EgressError as error:
            outcome = _of_failure(error)
        except EmailNotReady as error:
            outcome = error.outcome
        except StoreUnavailable as error:  # content and definitions are read before the call
            outcome = Transient(str(error))
        except Exception as error:  # noqa: BLE001 - a vendor's bug must cost one delivery, not the partition
            words = mask_secrets(repr(error), secrets_of(account.credentials))
            self._telemetry.log("error", "attempt_crashed", vendor=account.vendor, error=words)
            outcome = Ambiguous(f"internal error: {type(error).__name__}")
        if fitted and isinstance(outcome, Accepted):
            words = "; ".join(
                filter(None, (in_words(fitted, vendor.TRAITS.limits, vendor.TRAITS.title), outcome.detail))
            )
            outcome = msgspec.structs.replace(outcome, detail=words)
        silent = isinstance(outcome, Accepted) and not outcome.detail
        secrets = [] if silent else secrets_of(account.credentials, self._tokens.held(account))
        return Answer(sanitized(outcome, secrets), account.name, account.vendor)

    async def _send(
        self,
        channel: Channel,
        row: PlannedDelivery,
        account: Account,
        vendor: Vendor,
        urgent: bool,
        fitted: list[Fitted],
    ) -> Outcome:
        url = await self._enricher.unsubscribe_url(row) if channel is Channel.EMAIL else ""
        if not self._contents.holds(row.tenant, row.template):
            await self._contents.gather(((row.tenant, row.template),), (row.tenant,))
        parts = self._renders.render_now(row, channel, url, fitted)
        if parts is None:
            parts = await self._render_in_thread(row, channel, url, fitted)
        message = compose(row, channel, parts)
        if channel is Channel.EMAIL:
            async with self._enricher.enrich(row, message, url) as whole:
                return await self._send_message(vendor, whole, account, urgent)
        return await self._send_message(vendor, message, account, urgent)

    async def _render_in_thread(
        self, row: PlannedDelivery, channel: Channel, url: str, fitted: list[Fitted]
    ) -> dict[str, Any]:
        try:
            return await self._renders.render_in_thread(row, channel, url, fitted)
        except NotGathered:  # while it waited for a thread, its template was evicted
            await self._contents.gather(((row.tenant, row.template),), (row.tenant,))
            return await self._renders.render_in_thread(row, channel, url, fitted)

    async def _send_message(self, vendor: Vendor, message: Message, account: Account, urgent: bool) -> Outcome:
        if not hasattr(vendor, "token_request"):
            return await self._batches.send(vendor, message, account, None, self._call, urgent=urgent)
        token_vendor = cast(TokenVendor, vendor)
        token, fresh = await self._tokens.get(account, token_vendor)
        if not isinstance(token, Token):
            return token
        outcome = await self._call(vendor, message, account, token.value)
        if isinstance(outcome, Misconfigured) and not fresh:
            # An access token can be revoked early; a fresh one distinguishes that from a bad account.
            self._tokens.drop(account)
            token, _ = await self._tokens.get(account, token_vendor)
            return await self._call(vendor, message, account, token.value) if isinstance(token, Token) else token
        return outcome

    async def _call(self, vendor: Vendor, message: Message, account: Account, token: str | None) -> Outcome:
        request = await self._build(vendor, message, account, token)
        match request:
            case LocalRequest():
                if request.latency_ms:
                    await asyncio.sleep(request.latency_ms / 1000)
                return vendor.read(LocalReply(request.content), message, account, now_ms=self._clock.now_ms())
            case HttpRequest():
                return vendor.read(await self._http.send(request), message, account, now_ms=self._clock.now_ms())
            case SmtpRequest():
                return vendor.read(await self._smtp.send(request), message, account, now_ms=self._clock.now_ms())
            case AppriseRequest():
                if self._apprise is None:
                    return Misconfigured("this installation has no Apprise")
                return vendor.read(await self._apprise.send(request), message, account, now_ms=self._clock.now_ms())

    async def _build(self, vendor: Vendor, message: Message, account: Account, token: str | None) -> Request:
        now_ms, slow = self._clock.now_ms(), vendor.TRAITS.slow_credentials
        if has_large_files(message) or (slow and any(account.credentials.get(name) for name in slow)):
            build = partial(vendor.build, message, account, now_ms=now_ms, token=token)
            return await asyncio.get_running_loop().run_in_executor(self._slow, build)
        return vendor.build(message, account, now_ms=now_ms, token=token)


def _of_failure(error: EgressError) -> Outcome:
    if error.blocked:
        return Refused("egress_blocked", error.detail)
    return Transient(error.detail) if error.sent is Sent.NO else Ambiguous(error.detail)


class _Tokens:
    """Access tokens per account, each fetched once however many deliveries wait for it. A token is used only with the
    settings and credentials that it was fetched with: an account that was removed and created again starts at the same
    version, possibly with another address."""

    def __init__(self, http: HttpEgress, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._held: dict[tuple[str, str, int], tuple[Token, int, Account]] = {}
        self._locks: dict[tuple[str, str, int], asyncio.Lock] = {}

    async def get(self, account: Account, vendor: TokenVendor) -> tuple[Token | Outcome, bool]:
        """Return the token and whether it was fetched by this call, or the outcome that its refusal means."""
        key = (account.tenant, account.name, account.version)
        if (token := self._fresh(key, account)) is not None:
            return token, False
        async with self._locks.setdefault(key, asyncio.Lock()):
            if (token := self._fresh(key, account)) is not None:
                return token, False
            return await self._fetch(key, account, vendor), True

    def _fresh(self, key: tuple[str, str, int], account: Account) -> Token | None:
        held = self._held.get(key)
        return held[0] if held is not None and held[1] > self._clock.monotonic_ms() and held[2] == account else None

    async def _fetch(self, key: tuple[str, str, int], account: Account, vendor: TokenVendor) -> Token | Outcome:
        try:
            response = await self._http.send(vendor.token_request(account, now_ms=self._clock.now_ms()))
        except ValueError as error:
            return Misconfigured(str(error))
        except EgressError as error:
            # A token request sends no message, so the message certainly did not go out.
            return Refused("egress_blocked", error.detail) if error.blocked else Transient(error.detail)
        token = vendor.read_token(response)
        if isinstance(token, Token):
            if len(self._held) >= TOKENS_MAX:
                self._held.clear()
                self._locks.clear()
            until_ms = self._clock.monotonic_ms() + token.expires_in_s * 1000 - TOKEN_MARGIN_MS
            self._held[key] = token, until_ms, account
        return token

    def held(self, account: Account) -> str | None:
        """Return the token of an account at any age, or None."""
        held = self._held.get((account.tenant, account.name, account.version))
        return held[0].value if held is not None else None

    def drop(self, account: Account) -> None:
        self._held.pop((account.tenant, account.name, account.version), None)
