"""Puts the parts together for one process. Nothing here decides anything."""

import hmac
import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from clarion.app import confined, lab
from clarion.app.callers import Callers
from clarion.app.config import Config
from clarion.app.engines import template_engines
from clarion.app.plugins import shortener
from clarion.app.stores import OPENINGS, Opening
from clarion.backends.cel.expressions import CelExpressions
from clarion.backends.confined.pool import ConfinedDrafting
from clarion.backends.jsonschema.schemas import JsonSchemas
from clarion.backends.net.http import GuardedHttp
from clarion.backends.net.smtp import GuardedSmtp
from clarion.backends.sqlite.agreement import upgrade_all
from clarion.backends.sqlite.migrate import path_of
from clarion.content.drafting import DirectDrafting
from clarion.content.gather import Contents
from clarion.control.auth.tokens import UserTokens
from clarion.deliver.rules.retry import Policy
from clarion.domain.channel import Channel
from clarion.domain.errors import OperatorError
from clarion.domain.limits import OPERATOR_KEY_CHARS_MIN
from clarion.ops import logging
from clarion.ops.clock import SystemClock
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.ops.unsubscribing import SealedLinks
from clarion.ops.vault import FileVault
from clarion.ports.clock import Clock
from clarion.ports.drafting import Drafting
from clarion.ports.egress import HttpEgress, SmtpEgress
from clarion.ports.telemetry import Telemetry
from clarion.ports.vendor import Vendor
from clarion.ports.web import OPERATOR, Caller
from clarion.providers import catalogue

OPERATOR_KEY_FILE = "operator.key"
_OPERATOR = Caller(tenant="", key_id="operator", scopes=frozenset({OPERATOR}))


class Shared:
    """What every stage is made of, whatever clock and stores it stands on."""

    def __init__(self, config: Config, clock: Clock, telemetry: Telemetry, opening: Opening) -> None:
        self.config = config
        self.clock = clock
        self.telemetry = telemetry
        self.vault = FileVault.load(config.data_dir, config.master_key or None)
        self.unsubscribing = SealedLinks(self.vault, config.public_url)
        self.stores = opening(config, clock, self.vault, telemetry)
        self.streams, self.store, self.control, self.directory, self.state, self.quotas, self.standings = self.stores
        self.engines = template_engines()
        self.drafting = self._drafting()
        self.links = shortener(config.content.shorten_links, telemetry)
        self.schemas = JsonSchemas()
        self.expressions = CelExpressions()
        self.vendors: Mapping[tuple[Channel, str], Vendor] = catalogue.load()

    def _drafting(self) -> Drafting:
        if self.config.content.confined:
            return ConfinedDrafting(confined.command(os.environ), self.telemetry)
        return DirectDrafting(self.engines)

    def http(self) -> HttpEgress:
        """Return the HTTP client all vendors share."""
        egress = self.config.egress
        return GuardedHttp(egress.allow_private, egress.ca_file or None, allow_plain=egress.allow_http)

    def smtp(self) -> SmtpEgress:
        """Return the SMTP sessions all vendors share."""
        egress = self.config.egress
        return GuardedSmtp(
            egress.allow_private,
            egress.ca_file or None,
            allow_plain=egress.allow_http,
            hello_name=socket.gethostname(),
        )

    def contents(self) -> Contents:
        """Return what renders the deliveries of a stage; each stage has its own, with its own cache."""
        return Contents(self.directory, self.engines, self.links)

    def policy(self, channel: Channel) -> Policy:
        """Return the retry policy of a channel."""
        deliver = self.config.deliver
        return Policy(
            tuple(getattr(deliver.retry_pauses_ms, channel.value)),
            getattr(deliver.age_max_ms, channel.value),
            deliver.passes_max or None,
        )

    async def close(self) -> None:
        """Close what holds files, writers first."""
        await self.drafting.close()
        await self.stores.close()


class Parts(Shared):
    """The parts every process shares: stores opened, schema up to date, clock, telemetry and vendors."""

    telemetry: ProcessTelemetry

    def __init__(self, config: Config, role: str) -> None:
        logging.configure(config.log.level, config.log.format, role=role)
        config.data_dir.mkdir(parents=True, exist_ok=True)
        if config.store == "sqlite":
            upgrade_all(config.data_dir)
        telemetry = ProcessTelemetry(Metrics(config.run_dir / "metrics", role))
        if config.store != "sqlite" and path_of(config.data_dir, "journal").exists():
            telemetry.log("warning", "files_left_alone", data=str(config.data_dir), store=config.store)
        super().__init__(config, SystemClock(), telemetry, OPENINGS[config.store])
        if lab.DELAYS_VARIABLE in os.environ:
            lab.part("load.delays", lab.DELAYS_VARIABLE).delay_ports(self, role)


class Identity:
    """Tells whose a bearer credential is: the operator's, a tenant's API key or a user's token."""

    def __init__(self, parts: Parts, operator_key: str) -> None:
        self._callers = Callers(parts.directory)
        self._clock = parts.clock
        self._tokens = UserTokens(parts.vault)
        self._operator = operator_key.encode()

    async def __call__(self, secret: str) -> Caller | None:
        """Return the caller, or None for a credential that is wrong, expired or revoked."""
        if hmac.compare_digest(secret.encode(), self._operator):
            return _OPERATOR
        if secret.count(".") == 2:
            return self._tokens.verify(secret, self._clock.now_ms() // 1000)
        return await self._callers.of(secret, self._clock.now_ms())


def operator_key(config: Config) -> str:
    """Return the operator's key, making its file (mode 0600) at the first start. Raises `OperatorError`."""
    if config.operator_key:
        return _long_enough(config.operator_key, "the configured operator key")
    path: Path = config.data_dir / OPERATOR_KEY_FILE
    config.data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make_operator_key(path)
    if path.stat().st_mode & 0o077:
        raise OperatorError(f"{path} can be read by others; run: chmod 600 {path}.")
    return _long_enough(path.read_text().strip(), str(path))


def _long_enough(key: str, what: str) -> str:
    # An empty file would be a key that everybody has.
    if len(key) < OPERATOR_KEY_CHARS_MIN:
        raise OperatorError(f"{what} must have at least {OPERATOR_KEY_CHARS_MIN} characters.")
    return key


def _make_operator_key(path: Path) -> None:
    """Write the file whole or not at all: several processes may start at once, and all have to read the same key."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(f"clo_{secrets.token_urlsafe(32)}\n")
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
