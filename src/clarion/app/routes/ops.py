"""The routes for probes and metrics, which need no credential."""

from clarion.app.wiring.parts import Parts
from clarion.domain.permissions import PUBLIC
from clarion.domain.times import shown
from clarion.edge.connections import Connections
from clarion.edge.one_a_turn import OneATurn
from clarion.journal import topics
from clarion.ops import health
from clarion.ops.metrics import CONTENT_TYPE
from clarion.ports.web import Call, Reply, Route
from clarion.runtime.missing_roles import MissingRoles


def routes(parts: Parts, connections: Connections, roles: MissingRoles | None = None) -> list[Route]:
    """Return the routes. `connections` tells whether the process stops, `roles` which roles nobody does."""
    metrics_turn = OneATurn()

    async def healthz(_call: Call) -> Reply:
        return Reply({"status": "ok"})

    async def readyz(_call: Call) -> Reply:
        (backlog,) = (await parts.store.backlog_of([topics.GROUP_PLAN])).values()
        checks = [health.disk(parts.config.data_dir), health.backlog(backlog, parts.config.api.max_backlog_events)]
        if connections.stopping:
            checks.append(health.HealthCheck("stopping", ok=False, detail="the process stops"))
        missing = [] if roles is None else sorted(roles.since().items())
        report = health.report(checks, [health.MissingRole(role, shown(since_ms)) for role, since_ms in missing])
        return Reply(report, 200 if report.ready else 503)

    async def metrics(_call: Call) -> Reply:
        async with metrics_turn:
            return Reply(raw=parts.telemetry.metrics.exposition(), content_type=CONTENT_TYPE)

    tag = "about"
    return [
        Route("GET", "/healthz", healthz, PUBLIC, "Whether the process lives", tag=tag, health=True),
        Route(
            "GET",
            "/readyz",
            readyz,
            PUBLIC,
            "Whether it can take work",
            reply=health.HealthReport,
            tag=tag,
            health=True,
        ),
        Route("GET", "/metrics", metrics, PUBLIC, "Metrics of all processes (Prometheus)", tag=tag, health=True),
    ]
