"""Intake over a small set of stores, called as the HTTP layer calls it."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from clarion.accept.intake import Intake
from clarion.accept.intake_context import IntakeContext
from clarion.accept.intake_lifecycle import Lifecycle
from clarion.accept.worker import AcceptWriter
from clarion.accept.worker_quota import QuotaGate
from clarion.domain.channel import LANES
from clarion.journal import topics
from clarion.journal.events import AcceptedFrame
from clarion.languages.cel.expressions import CelExpressions
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.ports.web import Call, Reply
from clarion.stores.memory.quotas import MemoryQuotas
from clarion.ways_in.http import routes_broadcasts
from clarion.ways_in.http.routes_notifications import routes
from tests.callers import by_key
from tests.stages.world import TENANT, World


class NoAudiences:
    """None of these callers has a quota, so no audience is counted."""

    async def count(self, *_values: Any, **_options: Any) -> Any:
        raise AssertionError("nothing should be counted")

    async def close(self) -> None:
        """Nothing is open."""


class IntakeHarness:
    """Intake over a small set of stores, called as the HTTP layer calls it."""

    def __init__(
        self,
        directory: Any,
        backlog_max: int = 10_000,
        world: World | None = None,
        *,
        audiences: Any = None,
        linger_ms: int = 5,
        far: Callable[[Any, str], Any] = lambda port, name: port,
    ) -> None:
        """`far` may wrap each port to add latency."""
        self.world = world or World(directory, partitions=2)
        journal, clock = far(self.world.journal, "store"), self.world.clock
        directory = far(directory, "directory")
        self.writer = AcceptWriter(journal, clock, self.world.notes, linger_ms=linger_ms)
        gate = QuotaGate(far(MemoryQuotas(), "quotas"), clock, self.world.notes)
        context = IntakeContext(
            journal,
            directory,
            JsonSchemas(),
            self.writer,
            clock,
            gate,
            far(audiences or NoAudiences(), "audiences"),
            backlog_max=backlog_max,
        )

        async def known(tenant: str, _id: bytes) -> bool:
            return tenant == TENANT

        self.intake, lifecycle = Intake(context, CelExpressions()), Lifecycle(journal, clock, known)
        offered = [*routes(self.intake, lifecycle), *routes_broadcasts.routes(self.intake, lifecycle)]
        self._routes = {(one.method, one.path): one for one in offered}

    async def post(
        self, path: str, body: Any = None, *, key: str | None = None, tenant: str = TENANT, **at: str
    ) -> Reply:
        route = self._routes["POST", path]
        raw = msgspec.json.encode(body)
        decoded = None if route.body is None else msgspec.json.decode(raw, type=route.body)
        headers = {} if key is None else {"idempotency-key": key}
        caller = by_key(tenant)
        return await route.handler(Call(caller, at, {}, headers, raw, decoded))

    async def post_json(self, *values: Any, **options: Any) -> Any:
        reply = await self.post(*values, **options)
        return msgspec.json.decode(reply.raw if reply.raw is not None else msgspec.json.encode(reply.body))

    def stored(self) -> Iterator[bytes]:
        for lane in LANES:
            for frame in self.world.events(topics.accepted(lane)):
                if isinstance(frame, AcceptedFrame):
                    yield from frame.notification_ids


ONE = "/v1/notifications"
BATCH = "/v1/notifications/batch"
BLAST = "/v1/broadcasts"
GOOD = {"to": "u1", "template": "hello"}
