"""Turns verdicts of event rules into requests that are checked against the tenant's definitions."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from clarion.accept.admit import RequestChecks, parse_body
from clarion.accept.rules.events import Ask, Event, Skipped, Wanted, evaluate_rule
from clarion.accept.shapes import NotificationIn
from clarion.domain.errors import CallerError, InvalidField
from clarion.domain.event_rule import EventRule
from clarion.domain.limits import EVENT_NOTIFICATIONS_MAX, FANOUT_BYTES_MAX
from clarion.journal.events import Request
from clarion.ports.directory import Defined

_JSON: Final = msgspec.json.Encoder()


class RuleRequest(NamedTuple):
    """A checked request that an entry of a rule (by its index) creates."""

    entry: int
    request: Request


class RuleOutcome(NamedTuple):
    """The result of one rule: the requests it creates, and the entries and recipients it skips."""

    rule: Defined[EventRule]
    made: list[RuleRequest]
    skipped: list[Skipped]

    @property
    def matched(self) -> bool:
        """Whether the rule as a whole matches."""
        return all(skip.entry is not None for skip in self.skipped)


class RuleEvaluation:
    """Collects the outcomes of the rules for one event, rule by rule; `outcomes` comes last. Raises `InvalidField` when
    the rules create more than one event is allowed to."""

    def __init__(self, event: Event, event_id: str, admission: RequestChecks, ask: Ask) -> None:
        self._event = event
        self._event_id = event_id
        self._admission = admission
        self._ask = ask
        self._outcomes: list[RuleOutcome] = []
        self._notifications = 0
        self._bytes = 0

    def evaluate(self, rule: Defined[EventRule]) -> None:
        """Evaluate one rule for events of this type. Raises `InvalidField` when the rules create too much."""
        verdict = evaluate_rule(rule.body, self._event, self._ask)
        outcome = RuleOutcome(rule, [], verdict.skipped)
        for wanted in verdict.wanted:
            try:
                request = self._admission.notification(parse_body(self._body(rule, wanted)))
            except CallerError as error:
                where = f"{error.field}: " if error.field else ""
                outcome.skipped.append(Skipped(wanted.entry, error.code, where + error.detail))
            else:
                self._count(request)
                outcome.made.append(RuleRequest(wanted.entry, request))
        self._outcomes.append(outcome)

    def requests(self) -> list[Request]:
        """Return the requests that all rules have created so far."""
        return [made.request for one in self._outcomes for made in one.made]

    def outcomes(self, unknown: set[str]) -> list[RuleOutcome]:
        """Return the outcomes of the rules without the recipients that are unknown users."""
        return [_without(outcome, unknown) for outcome in self._outcomes] if unknown else self._outcomes

    def _body(self, rule: Defined[EventRule], wanted: Wanted) -> NotificationIn:
        notify = rule.body.notify[wanted.entry]
        return NotificationIn(
            to=list(wanted.to),
            template=notify.template,
            workflow=notify.workflow,
            channels=list(notify.channels) or None,
            category=notify.category,
            data=wanted.data,
            metadata={"event_id": self._event_id, "event_rule": rule.key},
        )

    def _count(self, request: Request) -> None:
        self._notifications += 1
        self._bytes += len(_JSON.encode(request.data)) * len(request.to)
        if self._notifications > EVENT_NOTIFICATIONS_MAX:
            detail = f"the rules make more than {EVENT_NOTIFICATIONS_MAX} notifications of this event"
            raise InvalidField(detail, field="type", code="too_many_notifications")
        if self._bytes > FANOUT_BYTES_MAX:
            raise InvalidField("is too large for everyone the rules send it to", field="data")


def rules_for(
    rules: Iterable[Defined[EventRule]], event_type: str, *, disabled: bool = False
) -> list[Defined[EventRule]]:
    """Return the rules for events of a type; disabled ones only with `disabled`."""
    return [rule for rule in rules if rule.body.event == event_type and (rule.body.enabled or disabled)]


def _without(outcome: RuleOutcome, unknown: set[str]) -> RuleOutcome:
    kept = RuleOutcome(outcome.rule, [], list(outcome.skipped))
    for entry, request in outcome.made:
        absent = [to.user_id for to in request.to if to.user_id in unknown]
        kept.skipped.extend(Skipped(entry, "unknown_user", f"unknown user {name!r}", name) for name in absent)
        to = [one for one in request.to if one.user_id not in unknown]
        if to:
            kept.made.append(RuleRequest(entry, msgspec.structs.replace(request, to=to) if absent else request))
    return kept
