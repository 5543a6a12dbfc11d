"""The oracle of workflow instances: each ends exactly once, each event is in one digest, each message that is due arrives.

Like the oracle of deliveries it goes by evidence alone and shares no code with what it judges: what was acknowledged, what
arrived on phones and what it said, and the product's own account through its API and straight from its stores.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from clarion_lab.chaos import oracle
from clarion_lab.chaos.phone import Message

_STEPS: Final = {"delay": {"first", "second"}, "answer": {"ask"}, "look": {"ask"}, "digest": set[str]()}
"""Messages that an instance sends in any case, by kind of workflow."""
_REACTED: Final = {"answer": {"thanks"}, "look": set[str]()}
_TIMED_OUT: Final = {"answer": {"missed"}, "look": {"again"}}
"""What it sends besides, by how its wait ended."""


class Wanted(msgspec.Struct, frozen=True):
    """An instance that an acknowledged request has to have: its notification's 32 hex digits and its one user."""

    notification: str
    user: str
    kind: str
    workflow: str
    number: int
    thread: str


class Tale(msgspec.Struct, frozen=True):
    """What the product tells of an instance: how many events ended it, how many came after the first of those, and until
    when it waited for a reaction (Unix ms)."""

    notification: str
    user: str
    endings: int
    afterwards: int = 0
    waited_until_ms: int | None = None


class Reaction(msgspec.Struct, frozen=True):
    """A user reacted to a question, and when that was first acknowledged (Unix ms)."""

    delivery: str
    acknowledged_ms: int


class Evidence(msgspec.Struct, frozen=True):
    """Everything a verdict rests on. `open_cells` names the notifications of instances that planning still keeps."""

    wanted: Sequence[Wanted]
    tales: Sequence[Tale]
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
        """Return whether nothing is wrong."""
        return not (self.unended or self.lost or self.repeated)

    def figures(self) -> dict[str, int]:
        """Return what the last line of a run tells."""
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
    faults = {"unended": _unended(evidence), "lost": lost, "repeated": repeated}
    return Verdict(
        instances=len(evidence.wanted),
        **{name: len(found) for name, found in faults.items()},
        examples={name: found[: oracle.EXAMPLES_MAX] for name, found in faults.items() if found},
    )


def _unended(evidence: Evidence) -> list[str]:
    """Return the instances that did not end exactly once, and what is kept of any."""
    tales: dict[tuple[str, str], list[Tale]] = defaultdict(list)
    for tale in evidence.tales:
        tales[tale.notification, tale.user].append(tale)
    found = []
    for one in evidence.wanted:
        told = tales[one.notification, one.user]
        if [(tale.endings, tale.afterwards) for tale in told] != [(1, 0)]:
            ends = ", ".join(f"{tale.endings} endings, {tale.afterwards} events after it" for tale in told)
            found.append(f"{one.notification} of {one.user}: {ends or 'unknown'}")
    ended = {one.partition(" ")[0] for one in found}
    return found + [f"{id_}: still kept" for id_ in evidence.open_cells if id_ not in ended]


def _digests(wanted: Iterable[Wanted], messages: Iterable[Message]) -> tuple[list[str], list[str]]:
    """Return which events are in no digest, and which are in two or in one that is not theirs."""
    due = Counter((one.workflow, one.user, one.thread, one.number) for one in wanted if one.kind == "digest")
    # A message that arrived twice is one digest, unless it says something else the second time.
    digests = {(one.delivery, one.items): one for one in messages if one.step == "digest"}
    found = Counter((one.workflow, one.user, one.thread, item) for one in digests.values() for item in one.items)
    return _names("event", due - found), _names("event", found - due)


def _messages(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Return the messages of single instances that did not arrive, and those that should not have or were sent twice."""
    sent: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for notification, user, step, _ in {(m.notification, m.user, m.step, m.delivery) for m in evidence.messages}:
        if step != "digest":
            sent[notification, user][step] += 1
    until = {(tale.notification, tale.user): tale.waited_until_ms for tale in evidence.tales}
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
    """Return what an instance has to send. A reaction that was acknowledged before the wait was over ends the wait; one that
    came later may have, as it may have been taken before it was acknowledged; without any the time runs out."""
    due, answered, missed = _STEPS[kind], _REACTED.get(kind, set()), _TIMED_OUT.get(kind, set())
    if reacted_ms is None:
        return due | missed
    if until_ms is not None and reacted_ms < until_ms:
        return due | answered
    return due | (missed if any(step in sent for step in missed) else answered)


def _deliveries(verdict: oracle.Verdict) -> tuple[list[str], list[str]]:
    """Return the faults of deliveries, as what is lost and what is repeated."""
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
