"""What a tenant's rule makes of an event: who is to be notified with what data, and why others are not."""

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
    """Something that happened in the tenant's world."""

    type: str
    user_id: str | None
    occurred_at: datetime
    data: dict[str, Any]


class Value(NamedTuple):
    """What an expression gave, or with `fault` why it has no value."""

    value: Any = None
    fault: str = ""


Ask: TypeAlias = Callable[[str, Mapping[str, Any]], Value]
"""Evaluates an expression over named values."""


class Wanted(NamedTuple):
    """A notification that an entry of a rule (by its place) asks for: to these user ids, with this data."""

    entry: int
    to: tuple[str, ...]
    data: dict[str, Any]


class Skipped(NamedTuple):
    """Why an entry (None: the whole rule), or one recipient of it, comes to nothing."""

    entry: int | None
    reason: str
    detail: str = ""
    user_id: str | None = None


class Verdict(NamedTuple):
    """Everything a rule makes of an event. The rule itself does not hold when `skipped` says so of the whole rule."""

    wanted: list[Wanted]
    skipped: list[Skipped]


def judge(rule: EventRule, event: Event, ask: Ask) -> Verdict:
    """Return what a rule for events of this type makes of one."""
    if not rule.enabled:
        return Verdict([], [Skipped(None, DISABLED)])
    about = {"type": event.type, "user_id": event.user_id, "occurred_at": event.occurred_at}
    judgement = _Judgement(event.data, {"event": about, "data": event.data}, ask)
    if judgement.holds(rule.if_, None):
        for entry, notify in enumerate(rule.notify):
            judgement.consider(entry, notify)
    return judgement.verdict


class _Judgement:
    """One event under one rule; gathers the verdict."""

    def __init__(self, data: dict[str, Any], names: Mapping[str, Any], ask: Ask) -> None:
        self.verdict = Verdict([], [])
        self._data = data
        self._names = names
        self._ask = ask

    def holds(self, condition: str | None, entry: int | None) -> bool:
        """Return whether a condition holds; if not, the verdict says why."""
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
        """Judge one entry of the rule."""
        if not self.holds(notify.if_, entry):
            return
        to = self._recipients(entry, notify.to)
        data = self._overlaid(entry, notify.data) if to else None
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

    def _overlaid(self, entry: int, expressions: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the event's data with evaluated values laid over it, or None when one has no value."""
        values: dict[str, Any] = {}
        for name, expression in expressions.items():
            value, fault = self._ask(expression, self._names)
            if fault:
                self._skip(entry, EXPRESSION_FAILED, f"data.{name}: {fault}")
                return None
            # Instants become texts: data is JSON to everyone after this.
            values[name] = msgspec.to_builtins(value)
        return {**self._data, **values}

    def _skip(self, entry: int | None, reason: str, detail: str = "") -> None:
        self.verdict.skipped.append(Skipped(entry, reason, detail))
