"""The routes that accept requests, and the one that explains them."""

from clarion.accept.intake import Intake
from clarion.accept.intake_context import IntakeContext
from clarion.accept.intake_lifecycle import Known, Lifecycle
from clarion.accept.shapes import NotificationIn
from clarion.accept.worker import AcceptWriter
from clarion.accept.worker_quota import QuotaGate
from clarion.app.wiring.parts import Shared
from clarion.control.templates.reads import Templates
from clarion.journal.find import find_accepted
from clarion.plan import routes as plan_routes
from clarion.plan.gather_explanation import ExplanationGatherer
from clarion.ports.web import Route
from clarion.ways_in.http import routes_broadcasts, routes_events, routes_notifications, routes_test_send


def routes(parts: Shared) -> list[Route]:
    """Return the routes of notifications, broadcasts, test sends and events, and of explanations."""
    intake, lifecycle = _intake(parts), Lifecycle(parts.store, parts.clock, _knowing(parts))
    return [
        *routes_notifications.routes(intake, lifecycle),
        *routes_broadcasts.routes(intake, lifecycle),
        *routes_test_send.routes(intake, Templates(parts.control.documents)),
        *routes_events.routes(intake),
        *plan_routes.routes(
            ExplanationGatherer(parts.store, parts.directory, parts.state.history, parts.contents()),
            intake.check,
            NotificationIn,
            parts.clock,
        ),
    ]


def _intake(parts: Shared) -> Intake:
    api = parts.config.api
    door = IntakeContext(
        parts.store,
        parts.directory,
        parts.schemas,
        AcceptWriter(parts.store, parts.clock, parts.telemetry, linger_ms=api.linger_ms),
        parts.clock,
        QuotaGate(parts.quotas, parts.clock, parts.telemetry),
        parts.control.audiences,
        backlog_max=api.max_backlog_events,
    )
    return Intake(door, parts.expressions)


def _knowing(parts: Shared) -> Known:
    async def known(tenant: str, id_: bytes) -> bool:
        if await parts.state.history.notification(tenant, id_) is not None:
            return True
        return await find_accepted(parts.streams, parts.store, id_, tenant) is not None

    return known
