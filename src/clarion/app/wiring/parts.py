"""Builds the parts of one process. No decision is made here."""

import os
import socket
from collections.abc import Mapping

from clarion.app import lab
from clarion.app.config.settings import Config
from clarion.app.processes import confined
from clarion.app.wiring.engines import template_engines
from clarion.app.wiring.plugins import shortener
from clarion.app.wiring.secret_stores import secret_reader
from clarion.app.wiring.store_set import Stores
from clarion.app.wiring.stores import open_stores, postgres
from clarion.content.drafting import DirectDrafting
from clarion.content.gather import Contents
from clarion.control.unsubscribe.links import SealedUnsubscribeLinks
from clarion.deliver.rules.retry import RetryPolicy
from clarion.domain.channel import Channel
from clarion.identity.identify import Identity
from clarion.identity.operator_keys import OperatorKeys
from clarion.identity.people.sessions import Sessions
from clarion.inbox.worker_waits import InboxWaits
from clarion.languages.cel.expressions import CelExpressions
from clarion.languages.confined.pool import ConfinedDrafting
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.ops import logging
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.outbound.net.http import GuardedHttp
from clarion.outbound.net.smtp import GuardedSmtp
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.clock import Clock
from clarion.ports.drafting import Drafting
from clarion.ports.egress import HttpEgress, SmtpEgress
from clarion.ports.secrets import Vault
from clarion.ports.telemetry import Telemetry
from clarion.ports.vendor import Vendor
from clarion.providers import catalogue
from clarion.runtime.clock import SystemClock
from clarion.runtime.onlookers import Onlookers
from clarion.stores.sqlite.consistency import upgrade_all
from clarion.stores.sqlite.migrate import path_of


class Shared:
    """The parts that every stage is built of, over any clock and any stores."""

    def __init__(self, config: Config, clock: Clock, telemetry: Telemetry, vault: Vault, stores: Stores) -> None:
        self.config = config
        self.clock = clock
        self.telemetry = telemetry
        self.secrets = secret_reader(config, os.environ, clock, telemetry)
        self.vault = vault
        self.unsubscribe_links = SealedUnsubscribeLinks(self.vault, config.public_url)
        self.stores = stores
        self.streams, self.store, self.control, self.directory, self.state = self.stores[:5]
        self.quotas, self.account_health, self.presence = self.stores[5:]
        self.inbox_waits = InboxWaits(self.state.inbox_signal)
        self.onlookers = Onlookers(self.presence, clock)
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
        """Return the HTTP client that all vendors share."""
        egress = self.config.egress
        return GuardedHttp(egress.allow_private, egress.ca_file or None, allow_plain=egress.allow_http)

    def smtp(self) -> SmtpEgress:
        """Return the SMTP sessions that all vendors share."""
        egress = self.config.egress
        return GuardedSmtp(
            egress.allow_private,
            egress.ca_file or None,
            allow_plain=egress.allow_http,
            hello_name=socket.gethostname(),
        )

    def contents(self) -> Contents:
        """Return a renderer of deliveries; each stage has its own, with its own cache."""
        return Contents(self.directory, self.engines, self.links)

    def policy(self, channel: Channel) -> RetryPolicy:
        """Return the retry policy of a channel."""
        deliver = self.config.deliver
        return RetryPolicy(
            tuple(getattr(deliver.retry_pauses_ms, channel.value)),
            getattr(deliver.age_max_ms, channel.value),
            deliver.passes_max or None,
        )

    async def close(self) -> None:
        """Close the parts that hold files, writers first."""
        await self.state.inbox_signal.close()
        await self.drafting.close()
        await self.secrets.close()
        await self.stores.close()


class Parts(Shared):
    """The parts of a process: opened stores with their schema up to date, clock, telemetry and vendors."""

    telemetry: ProcessTelemetry

    def __init__(
        self, config: Config, clock: Clock, telemetry: ProcessTelemetry, vault: Vault, stores: Stores, role: str
    ) -> None:
        super().__init__(config, clock, telemetry, vault, stores)
        if lab.DELAYS_VARIABLE in os.environ:
            lab.part("load.delays", lab.DELAYS_VARIABLE).delay_ports(self, role)

    async def close(self) -> None:
        """Close the parts that hold files, and take back what this process shows as long as it lives."""
        self.telemetry.metrics.end()
        await super().close()

    @classmethod
    async def open(cls, config: Config, role: str) -> "Parts":
        """Open the parts of a process. Raises `OperatorError` when a store or a key cannot be used."""
        logging.configure(config.log.level, config.log.format, role=role)
        config.data_dir.mkdir(parents=True, exist_ok=True)
        if config.store == "sqlite":
            upgrade_all(config.data_dir)
        if config.store == "postgres":
            postgres().require_keys(config, operator=role in postgres().OPERATED)
        # Each process needs files of its own, and further API processes have the same role.
        name = f"{role}-{config.api.port}" if role == "api" else role
        telemetry = ProcessTelemetry(Metrics(config.run_dir / "metrics", name))
        if config.store != "sqlite" and path_of(config.data_dir, "journal").exists():
            telemetry.log("warning", "files_left_alone", data=str(config.data_dir), store=config.store)
        clock, vault = SystemClock(), FileVault.load(config.data_dir, config.master_key or None)
        stores = await open_stores(config, clock, vault, telemetry, role)
        try:
            return cls(config, clock, telemetry, vault, stores, role)
        except BaseException:
            await stores.close()
            raise


def identity_of(parts: Shared, operator: OperatorKeys) -> Identity:
    """Return what finds the callers of credentials."""
    keys, clock, telemetry = parts.control.keys, parts.clock, parts.telemetry
    return Identity(parts.directory, keys, parts.vault, clock, telemetry, operator, sessions_of(parts))


def sessions_of(parts: Shared) -> Sessions:
    """Return the sessions of people."""
    control = parts.control
    return Sessions(control.people, control.documents, control.tenants, parts.clock)
