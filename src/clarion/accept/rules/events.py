"""Evaluation of a tenant's rule for an event: who is notified with which data, and why other recipients are not."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from clarion.domain.event_rule import EventRule, Notify
from clarion.domain.limits import RECIPIENTS_MAX

DISABLED: Final = "disabled"
CONDITION_FALSE: Final = "condition_false"
EXPRESSION_FAILED: Final = "expression_failed"
NO_RECIPIENT: Final = "no_recipient"
BAD_RECIPIENT: Final = "bad_recipient"


class Event(NamedTuple):
    """An event that the tenant sent."""

    type: str
    user_id: str | None
    occurred_at: datetime
    data: dict[str, Any]


class Value(NamedTuple):
    """The value of an expression, or with `fault` why it has none."""

    value: Any = None
    fault: str = ""


Ask: TypeAlias = Callable[[str, Mapping[str, Any]], Value]
"""Evaluates an expression over named values."""


class Wanted(NamedTuple):
    """A notification that an entry of a rule (by its index) creates: to these user ids, with this data."""

    entry: int
    to: tuple[str, ...]
    data: dict[str, Any]


class Skipped(NamedTuple):
    """Why an entry (None: the whole rule), or one recipient of it, is skipped."""

    entry: int | None
    reason: str
    detail: str = ""
    user_id: str | None = None


class RuleVerdict(NamedTuple):
    """The notifications and skips of a rule for an event. The rule itself does not match when `skipped` has an item for
    the whole rule."""

    wanted: list[Wanted]
    skipped: list[Skipped]


def evaluate_rule(rule: EventRule, event: Event, ask: Ask) -> RuleVerdict:
    """Return the verdict of a rule on an event of its type."""
    if not rule.enabled:
        return RuleVerdict([], [Skipped(None, DISABLED)])
    about = {"type": event.type, "user_id": event.user_id, "occurred_at": event.occurred_at}
    judgement = _Evaluation(event.data, {"event": about, "data": event.data}, ask)
    if judgement.holds(rule.if_, None):
        for entry, notify in enumerate(rule.notify):
            judgement.consider(entry, notify)
    return judgement.verdict


class _Evaluation:
    """The evaluation of one rule for one event; collects the verdict."""

    def __init__(self, data: dict[str, Any], names: Mapping[str, Any], ask: Ask) -> None:
        self.verdict = RuleVerdict([], [])
        self._data = data
        self._names = names
        self._ask = ask

    def holds(self, condition: str | None, entry: int | None) -> bool:
        """Return whether a condition holds; if not, add the reason to the verdict."""
        if condition is None:
            return True
        value, fault = self._ask(condition, self._names)
        if value is True and not fault:
            return True
        if not fault and value is not False:
            fault = "gives neither true nor false"
        self._skip(entry, EXPRESSION_FAILED if fault else CONDITION_FALSE, fault and f"if: {fault}")
        return False

    def consider(self, entry: int, notify: Notify) -> None:
        """Evaluate one entry of the rule."""
        if not self.holds(notify.if_, entry):
            return
        to = self._recipients(entry, notify.to)
        data = self._overlay(entry, notify.data) if to else None
        if data is not None:
            self.verdict.wanted.append(Wanted(entry, to, data))

    def _recipients(self, entry: int, expression: str) -> tuple[str, ...]:
        value, fault = self._ask(expression, self._names)
        given = value if isinstance(value, list) else [value]
        found = [one for one in given if isinstance(one, str) and one]
        if fault or not given:
            self._skip(entry, NO_RECIPIENT, f"to: {fault}" if fault else "to: an empty list")
        for one in given if not fault else ():
            if one is None or one == "":
                self._skip(entry, NO_RECIPIENT, "to: empty")
            elif not isinstance(one, str):
                self._skip(entry, BAD_RECIPIENT, "to: gives something else than a user id or a list of them")
        unique = tuple(dict.fromkeys(found))
        if len(unique) > RECIPIENTS_MAX:
            self._skip(entry, BAD_RECIPIENT, f"to: more than {RECIPIENTS_MAX} users")
            return ()
        return unique

    def _overlay(self, entry: int, expressions: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the event's data overlaid with the evaluated values, or None when one has no value."""
        values: dict[str, Any] = {}
        for name, expression in expressions.items():
            value, fault = self._ask(expression, self._names)
            if fault:
                self._skip(entry, EXPRESSION_FAILED, f"data.{name}: {fault}")
                return None
            # Instants become texts: the later stages treat data as JSON.
            values[name] = msgspec.to_builtins(value)
        return {**self._data, **values}

    def _skip(self, entry: int | None, reason: str, detail: str = "") -> None:
        self.verdict.skipped.append(Skipped(entry, reason, detail))
