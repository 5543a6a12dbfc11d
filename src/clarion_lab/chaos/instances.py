"""The oracle of workflow instances: each ends exactly once, each event is in one digest, each due message arrives.

Like the oracle of deliveries it uses evidence alone and shares no code with the product: the acknowledged requests, the
messages that arrived on phones, and the product's own account through its API and straight from its stores.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from clarion_lab.chaos import oracle
from clarion_lab.chaos.phone import Message

_STEPS: Final = {"delay": {"first", "second"}, "answer": {"ask"}, "look": {"ask"}, "digest": set[str]()}
"""Messages that an instance always sends, by kind of workflow."""
_REACTED: Final = {"answer": {"thanks"}, "look": set[str]()}
_TIMED_OUT: Final = {"answer": {"missed"}, "look": {"again"}}
"""Additional messages, by the end of its wait."""


class ExpectedInstance(msgspec.Struct, frozen=True):
    """An instance that an acknowledged request must have: its notification's 32 hex digits and its one user."""

    notification: str
    user: str
    kind: str
    workflow: str
    number: int
    thread: str


class InstanceReport(msgspec.Struct, frozen=True):
    """The product's report on an instance: the number of events that ended it, the number of events after the first of
    those, and the end of its wait for a reaction (Unix ms)."""

    notification: str
    user: str
    endings: int
    afterwards: int = 0
    waited_until_ms: int | None = None


class Reaction(msgspec.Struct, frozen=True):
    """A user's reaction to a question, and the time of its first acknowledgement (Unix ms)."""

    delivery: str
    acknowledged_ms: int


class Evidence(msgspec.Struct, frozen=True):
    """All evidence of a verdict. `open_cells` names the notifications of instances that planning still holds."""

    wanted: Sequence[ExpectedInstance]
    tales: Sequence[InstanceReport]
    messages: Sequence[Message]
    reactions: Sequence[Reaction]
    open_cells: Iterable[str]
    deliveries: oracle.Verdict


class Verdict(msgspec.Struct, frozen=True):
    """The figures of a run, and a few examples of each fault."""

    instances: int
    unended: int
    lost: int
    repeated: int
    examples: dict[str, list[str]]

    @property
    def passed(self) -> bool:
        """Return whether there is no fault."""
        return not (self.unended or self.lost or self.repeated)

    def figures(self) -> dict[str, int]:
        """Return the figures for the last line of a run."""
        return {name: getattr(self, name) for name in ("instances", "unended", "lost", "repeated")}


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict on the evidence."""
    lost, repeated = _digests(evidence.wanted, evidence.messages)
    for missing, extra in (_messages(evidence), _deliveries(evidence.deliveries)):
        lost += missing
        repeated += extra
    known = {(one.notification, one.user) for one in evidence.wanted}
    repeated += [
        f"instance of {one.notification}" for one in evidence.tales if (one.notification, one.user) not in known
    ]
    faults = {"unended": _unfinished(evidence), "lost": lost, "repeated": repeated}
    return Verdict(
        instances=len(evidence.wanted),
        **{name: len(found) for name, found in faults.items()},
        examples={name: found[: oracle.EXAMPLES_MAX] for name, found in faults.items() if found},
    )


def _unfinished(evidence: Evidence) -> list[str]:
    """Return the instances that did not end exactly once, and those that planning still holds."""
    tales: dict[tuple[str, str], list[InstanceReport]] = defaultdict(list)
    for report in evidence.tales:
        tales[report.notification, report.user].append(report)
    found = []
    for one in evidence.wanted:
        reported = tales[one.notification, one.user]
        if [(report.endings, report.afterwards) for report in reported] != [(1, 0)]:
            ends = ", ".join(f"{report.endings} endings, {report.afterwards} events after it" for report in reported)
            found.append(f"{one.notification} of {one.user}: {ends or 'unknown'}")
    ended = {one.partition(" ")[0] for one in found}
    return found + [f"{id_}: still open" for id_ in evidence.open_cells if id_ not in ended]


def _digests(wanted: Iterable[ExpectedInstance], messages: Iterable[Message]) -> tuple[list[str], list[str]]:
    """Return the events that are in no digest, and those that are in two or in the wrong one."""
    due = Counter((one.workflow, one.user, one.thread, one.number) for one in wanted if one.kind == "digest")
    # A message that arrived twice is one digest, unless its content differs the second time.
    digests = {(one.delivery, one.items): one for one in messages if one.step == "digest"}
    found = Counter((one.workflow, one.user, one.thread, item) for one in digests.values() for item in one.items)
    return _names("event", due - found), _names("event", found - due)


def _messages(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Return the messages of single instances that did not arrive, and those that were sent wrongly or twice."""
    sent: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for notification, user, step, _ in {(m.notification, m.user, m.step, m.delivery) for m in evidence.messages}:
        if step != "digest":
            sent[notification, user][step] += 1
    until = {(report.notification, report.user): report.waited_until_ms for report in evidence.tales}
    asked = {one.delivery: (one.notification, one.user) for one in evidence.messages}
    reacted = {asked[one.delivery]: one.acknowledged_ms for one in evidence.reactions if one.delivery in asked}
    lost: list[str] = []
    repeated: list[str] = []
    for one in evidence.wanted:
        who = one.notification, one.user
        due = Counter(_due(one.kind, sent[who], until.get(who), reacted.get(who)))
        name = f"{one.workflow} {one.notification} of {one.user}"
        lost += _names(name, due - sent[who])
        repeated += _names(name, sent[who] - due)
    return lost, repeated


def _due(kind: str, sent: Mapping[str, int], until_ms: int | None, reacted_ms: int | None) -> set[str]:
    """Return the messages that an instance must send. A reaction that was acknowledged before the end of the wait ends
    it. A later acknowledgement may be of a reaction that was accepted before the end. Without a reaction the wait times
    out."""
    due, answered, missed = _STEPS[kind], _REACTED.get(kind, set()), _TIMED_OUT.get(kind, set())
    if reacted_ms is None:
        return due | missed
    if until_ms is not None and reacted_ms < until_ms:
        return due | answered
    return due | (missed if any(step in sent for step in missed) else answered)


def _deliveries(verdict: oracle.Verdict) -> tuple[list[str], list[str]]:
    """Return the faults of deliveries: the lost ones, and the repeated ones."""
    counts = {
        "lost": verdict.lost,
        "non_terminal": verdict.non_terminal,
        "false_success": verdict.false_success,
        "disagreements": verdict.disagreements,
        "double_terminal": verdict.double_terminal,
        "unexpected": verdict.unexpected,
        "unexplained": verdict.duplicates - verdict.duplicates_explained,
    }
    named = {
        name: [f"{name}: {example}" for example in [*verdict.examples.get(name, []), *["more"] * count][:count]]
        for name, count in counts.items()
    }
    lost = [one for name in ("lost", "non_terminal", "false_success", "disagreements") for one in named[name]]
    return lost, [one for name in ("double_terminal", "unexpected", "unexplained") for one in named[name]]


def _names(what: str, found: Counter[str] | Counter[tuple[str, str, str, int]]) -> list[str]:
    return [f"{what} {' '.join(map(str, one)) if isinstance(one, tuple) else one}" for one in found.elements()]
