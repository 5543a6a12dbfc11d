"""Helpers of the control-plane suites: a store in a fresh folder, a manual clock, and calls of routes."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from clarion.app.wiring.engines import template_engines
from clarion.content.drafting import DirectDrafting
from clarion.control.routes import routes
from clarion.domain.channel import Channel
from clarion.domain.limits_processes import REVISION_CHECK_MS
from clarion.domain.security_events import SecurityEvent
from clarion.identity import routes as identity_routes
from clarion.languages.cel.expressions import CelExpressions
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.vendor import Field, Traits
from clarion.ports.web import Call, Reply, Route
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.memory.quotas import MemoryQuotas
from tests.callers import by_either, by_key
from tests.contract.backends import CONTROLS
from tests.stores import prepared

MASTER = bytes(range(32))
DRAFTING = DirectDrafting(template_engines())
PARTITIONS = 4

POST_OFFICE = Traits(
    vendor="post_office",
    channels=(Channel.EMAIL,),
    title="A vendor of these tests",
    transport="http",
    settings=(
        Field("base_url", kind="url"),
        Field("from_email", required=True),
        Field("region", pattern="eu|us", default="eu"),
        Field("batch", kind="integer"),
        Field("tracking", kind="boolean", default=False),
    ),
    credentials=(Field("api_key", required=True), Field("signing_key")),
)


@dataclass
class Clock:
    """A clock that tests move. Entropy counts up, so no two draws are equal."""

    wall_ms: int = 1_700_000_000_000
    drawn: int = 0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_ms(self) -> int:
        return self.wall_ms

    def entropy(self, size: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(size, "big")

    def jitter(self) -> float:
        return 0.5


class SecurityRecorder:
    """Telemetry that records events of the security log, and nothing else."""

    def __init__(self) -> None:
        self.events: list[tuple[SecurityEvent, dict[str, Any]]] = []

    def security(self, event: SecurityEvent, **fields: Any) -> None:
        self.events.append((event, fields))


def migrated(folder: Path) -> Path:
    """Return a data folder with the schema and no rows."""
    return prepared(folder, "control")


@dataclass
class ControlPlane:
    """A control store, its directory and its routes on one backend; one on disk is in a folder with its schema."""

    data_dir: Path
    clock: Clock = field(default_factory=Clock)
    backend: str = "sqlite"

    def __post_init__(self) -> None:
        self.vault = FileVault(MASTER)
        self.control, self.directory = CONTROLS[self.backend](self.data_dir, self.vault, self.clock)
        self.journal = MemoryJournal(self.clock, PARTITIONS)
        self.notes = SecurityRecorder()
        vendors = {(Channel.EMAIL, "post_office"): POST_OFFICE}
        self.routes = [
            *identity_routes.routes(self.control, self.vault, MemoryQuotas(), self.clock, self.notes),
            *routes(
                self.control,
                self.vault,
                DRAFTING,
                JsonSchemas(),
                vendors,
                self.clock,
                self.journal,
                CelExpressions(),
                telemetry=self.notes,
            ),
        ]

    @classmethod
    def copy_of(cls, empty: Path, folder: Path, backend: str = "sqlite") -> "ControlPlane":
        """Return a control plane of its own; one on disk is in a copy of an empty data folder."""
        if backend == "sqlite":
            shutil.copytree(empty, folder, dirs_exist_ok=True)
        return cls(folder, backend=backend)

    async def close(self) -> None:
        self.directory.close()
        await self.control.close()

    def settle(self) -> None:
        """Move the clock far enough that the directory checks the revision again."""
        self.clock.wall_ms += REVISION_CHECK_MS

    async def call(
        self, method: str, target: str, body: Any = None, tenant: str = "acme", user: str | None = None, **query: str
    ) -> Reply:
        """Call a route as the HTTP layer does: the body goes through JSON into the route's type. With `user`, the caller has
        that user's token."""
        route, path = self.find(method, target)
        raw = b"" if body is None else msgspec.json.encode(body)
        decoded = msgspec.json.decode(raw, type=route.body) if raw and route.body else None
        caller = by_either(tenant, user)
        return await route.handler(Call(caller, path, query, {}, raw, decoded))

    async def say(
        self, method: str, target: str, body: Any = None, tenant: str = "acme", user: str | None = None, **query: str
    ) -> Any:
        """Call a route and return the body of the response as a client reads it."""
        reply = await self.call(method, target, body, tenant, user, **query)
        text = reply.raw if reply.raw is not None else msgspec.json.encode(reply.body)
        return msgspec.json.decode(text)

    async def import_pieces(self, pieces: list[bytes], tenant: str = "acme") -> Any:
        """Stream pieces into the bulk import and return its report."""
        route, _ = self.find("POST", "/v1/users/bulk")

        async def stream():  # type: ignore[no-untyped-def]
            for piece in pieces:
                yield piece

        call = Call(by_key(tenant), {}, {}, {}, b"", stream=stream())
        return msgspec.to_builtins((await route.handler(call)).body)

    def find(self, method: str, target: str) -> tuple[Route, dict[str, str]]:
        parts = target.split("/")
        for route in self.routes:
            wanted = route.path.split("/")
            if route.method == method and len(wanted) == len(parts):
                pairs = list(zip(wanted, parts, strict=True))
                if all(want == part or want.startswith("{") for want, part in pairs):
                    return route, {want[1:-1]: part for want, part in pairs if want.startswith("{")}
        raise LookupError(f"{method} {target}")
