"""Changes documents: gathers, decides and commits, and begins anew when what was gathered has changed meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from clarion.domain.errors import Stale
from clarion.domain.limits import DECISION_TRIES_MAX
from clarion.ports.clock import Clock
from clarion.ports.documents import Author, Changes, Document, DocumentKey, Documents
from clarion.ports.drafting import Drafting
from clarion.resources.declaration import Action, Facts
from clarion.resources.etags import Match
from clarion.resources.gather import Gatherer

B = TypeVar("B")


class Change(NamedTuple, Generic[B]):
    """A change to make. `audited` returns what the audit shows of a body of the target; `match` is what the caller expects of
    its version."""

    action: Action[B]
    target: DocumentKey
    body: B
    author: Author
    audited: Callable[[bytes], bytes]
    match: Match = Match()
    reason: str = ""


class Changed(NamedTuple):
    """What became of a change: the target as it is now, None when it was removed, and what was decided from what."""

    document: Document | None
    changes: Changes
    facts: Facts


class Changing:
    """Makes changes of any resource."""

    def __init__(self, documents: Documents, clock: Clock, drafting: Drafting | None = None) -> None:
        self._documents = documents
        self._clock = clock
        self._gatherer = Gatherer(documents, drafting)

    async def change(self, change: Change[Any]) -> Changed:
        """Make a change. Raises its refusal, and `Stale` when the target is not the version that the caller expects or other
        writers do not stop changing what the decision needs."""
        facts: Facts | None = None
        for _ in range(DECISION_TRIES_MAX):
            begin = Facts(change.target, change.author.actor)
            facts = await self._gatherer.gather(change.action, change.body, begin, facts)
            change.match.check(facts.current)
            changes = await self._decided(change, facts)
            if not (changes.puts or changes.removals or changes.artifacts):
                return Changed(facts.current, changes, facts)
            audited = _audited(change, changes, facts.current)
            try:
                stored = await self._documents.commit(change.author, audited, facts.expected(), change.reason)
            except Stale as error:
                refusal = error
                continue
            removed = any(one.key == change.target for one in changes.removals)
            return Changed(None if removed else stored.get(change.target, facts.current), changes, facts)
        raise refusal

    async def _decided(self, change: Change[B], facts: Facts) -> Changes:
        action, now_ms = change.action, self._clock.now_ms()
        if action.heavy:
            return await asyncio.to_thread(action.check, change.body, facts, now_ms)
        return action.check(change.body, facts, now_ms)


def _audited(change: Change[Any], changes: Changes, current: Document | None) -> Changes:
    after = next((put.body for put in changes.puts if put.key == change.target), None)
    return replace(
        changes,
        before=None if current is None else change.audited(current.body),
        after=None if after is None else change.audited(after),
    )
