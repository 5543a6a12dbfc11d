"""All settings: a section is a field here, and stands with the part that it configures."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from clarion.app.config.postgres import Postgres
from clarion.app.config.processes import Journal, Lease, Log, Workers
from clarion.app.config.stages import Content, Deliver, Plan, Record
from clarion.domain.limits_processes import PARTITIONS_MAX, PARTITIONS_OF_A_DATABASE
from clarion.domain.settings import Section
from clarion.gateway.settings import Gateway
from clarion.identity.settings import SignIn
from clarion.outbound.net.settings import Egress
from clarion.outbound.secrets.settings import Secrets
from clarion.ways_in.http.settings import Api

_PARTITIONS: Final[Mapping[str, int]] = {"postgres": PARTITIONS_OF_A_DATABASE}


class Config(Section, frozen=True):
    """All settings. Immutable; derived values are properties."""

    data_dir: Path
    store: Literal["sqlite", "postgres", "memory"]
    operator_key: str
    master_key: str
    api: Api
    gateway: Gateway
    sign_in: SignIn
    workers: Workers
    postgres: Postgres
    journal: Journal
    lease: Lease
    plan: Plan
    content: Content
    deliver: Deliver
    egress: Egress
    secrets: Secrets
    record: Record
    log: Log

    def __repr__(self) -> str:
        return f"Config(data_dir={str(self.data_dir)!r}, api={self.api!r})"

    @property
    def public_url(self) -> str:
        """The base URL at which providers and recipients reach the API, without a trailing slash."""
        return self.api.public_url.rstrip("/") or self.listening_url

    @property
    def listening_url(self) -> str:
        """The base URL of the address on which the API listens."""
        return f"{'https' if self.api.tls.certificate_file else 'http'}://{self.api.host}:{self.api.port}"

    @property
    def worker_count(self) -> int:
        """The number of workers that share the partitions; with stores in memory it is one, as there is one process."""
        return 1 if self.store == "memory" else self.workers.count or os.cpu_count() or 1

    @property
    def partition_count(self) -> int:
        """The number of partitions of a new journal: as set, or by the store and the number of workers."""
        of_workers = min(1 << (self.worker_count - 1).bit_length(), PARTITIONS_MAX)
        return self.journal.partitions or _PARTITIONS.get(self.store, of_workers)

    @property
    def run_dir(self) -> Path:
        """The folder of the pid files and metrics of running processes; safe to delete while nothing runs."""
        return self.data_dir / "run"
