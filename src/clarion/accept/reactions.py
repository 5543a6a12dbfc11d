"""From verdicts of event rules to checked requests: what each rule wants, held against what the tenant has defined."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from clarion.accept.admit import Admission, addressed
from clarion.accept.rules.events import Ask, Event, Skipped, Wanted, judge
from clarion.accept.shapes import NotificationIn
from clarion.domain.errors import CallerError, InvalidField
from clarion.domain.event_rule import EventRule
from clarion.domain.limits import FANOUT_BYTES_MAX
from clarion.domain.limits_deciding import EVENT_NOTIFICATIONS_MAX
from clarion.journal.events import Request
from clarion.ports.directory import Defined

_JSON: Final = msgspec.json.Encoder()


class Made(NamedTuple):
    """A checked request that an entry of a rule (by its place) asks for."""

    entry: int
    request: Request


class Outcome(NamedTuple):
    """What one rule comes to."""

    rule: Defined[EventRule]
    made: list[Made]
    skipped: list[Skipped]

    @property
    def matched(self) -> bool:
        """Whether the rule as a whole holds."""
        return all(skip.entry is not None for skip in self.skipped)


class Reaction:
    """Gathers what the rules make of one event, rule by rule; `settled` ends it. Raises `InvalidField` when that is more
    than one event may make."""

    def __init__(self, event: Event, event_id: str, admission: Admission, ask: Ask) -> None:
        self._event = event
        self._event_id = event_id
        self._admission = admission
        self._ask = ask
        self._outcomes: list[Outcome] = []
        self._notifications = 0
        self._bytes = 0

    def take(self, rule: Defined[EventRule]) -> None:
        """Judge one rule for events of this type."""
        verdict = judge(rule.body, self._event, self._ask)
        outcome = Outcome(rule, [], verdict.skipped)
        for wanted in verdict.wanted:
            try:
                request = self._admission.notification(addressed(self._body(rule, wanted)))
            except CallerError as error:
                where = f"{error.field}: " if error.field else ""
                outcome.skipped.append(Skipped(wanted.entry, error.code, where + error.detail))
            else:
                self._count(request)
                outcome.made.append(Made(wanted.entry, request))
        self._outcomes.append(outcome)

    def requests(self) -> list[Request]:
        """Return what all rules made so far."""
        return [made.request for one in self._outcomes for made in one.made]

    def settled(self, unknown: set[str]) -> list[Outcome]:
        """Return what the rules come to once recipients who are no users have been left out."""
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


def concerning(
    rules: Iterable[Defined[EventRule]], event_type: str, *, disabled: bool = False
) -> list[Defined[EventRule]]:
    """Return the rules for events of a type; those that are switched off only if asked for."""
    return [rule for rule in rules if rule.body.event == event_type and (rule.body.enabled or disabled)]


def _without(outcome: Outcome, unknown: set[str]) -> Outcome:
    kept = Outcome(outcome.rule, [], list(outcome.skipped))
    for entry, request in outcome.made:
        absent = [to.user_id for to in request.to if to.user_id in unknown]
        kept.skipped.extend(Skipped(entry, "unknown_user", f"unknown user {name!r}", name) for name in absent)
        to = [one for one in request.to if one.user_id not in unknown]
        if to:
            kept.made.append(Made(entry, msgspec.structs.replace(request, to=to) if absent else request))
    return kept
