"""Endpoints that accept events: rules turn them into notifications, and instances that wait for them continue."""

from clarion.accept.intake import Intake
from clarion.accept.intake_events import skips_of
from clarion.accept.rule_evaluation import RuleOutcome
from clarion.accept.shapes_events import DryNotification, DryOut, DryRule, EventIn, EventOut
from clarion.domain.channel import Channel
from clarion.journal.events import Request
from clarion.ports.web import Call, Reply, Route
from clarion.ways_in.http.routes_once import answer, key_of


def routes(intake: Intake) -> list[Route]:
    """Return the endpoints of events."""
    handlers = _Handlers(intake)
    return [
        Route(
            "POST", "/v1/events", handlers.create, "events:send",
            "Send an event; event rules turn it into notifications",
            body=EventIn, reply=EventOut, status=202, tag="events", idempotency_key=True,
        ),
        Route(
            "POST", "/v1/events/dry-run", handlers.dry_run, "events:read",
            "Evaluate the event rules for an event without sending anything",
            body=EventIn, reply=DryOut, tag="events",
        ),
    ]  # fmt: skip


class _Handlers:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def create(self, call: Call) -> Reply:
        return answer(
            await self._intake.submit(
                call.caller, call.body, key_of(call, call.body.idempotency_key), may_wait_ms=call.may_wait_ms
            )
        )

    async def dry_run(self, call: Call) -> Reply:
        outcomes = await self._intake.dry_run(call.caller, call.body)
        return Reply(DryOut([_dry(outcome) for outcome in outcomes]))


def _dry(outcome: RuleOutcome) -> DryRule:
    rule = outcome.rule
    would = [_would(entry, request) for entry, request in outcome.made]
    return DryRule(rule.key, rule.version, outcome.matched, would, skips_of(outcome))


def _would(entry: int, request: Request) -> DryNotification:
    channels = [Channel(name) for name in request.channels] if request.channels else None
    return DryNotification(
        entry, [to.user_id for to in request.to], request.data, request.template or None, request.workflow or None,
        channels, request.category, request.lane,
    )  # fmt: skip
