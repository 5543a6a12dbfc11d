"""The decisions that most resources share: store a body as it is, and remove what nothing refers to."""

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

from clarion.domain.errors import Conflict, NotFound
from clarion.domain.limits import REFERRERS_SHOWN_MAX
from clarion.ports.documents import Changes, DocumentKey, Put, Removal
from clarion.resources.declaration import Action, Facts, Needs

_JSON: Final = msgspec.json.Encoder()


def stored(facts: Facts, body: Any, now_ms: int, *, refers: Iterable[tuple[str, str]] = ()) -> Changes:
    """Return the change that stores a body, none when it is what is stored."""
    target, raw = facts.target, _JSON.encode(body)
    current = facts.current
    if current is not None and current.body == raw:
        return Changes(f"{target.kind}.put", target, now_ms)
    return Changes(f"{target.kind}.put", target, now_ms, (Put(target, raw, frozenset(refers)),))


def as_given(body: Any, facts: Facts, now_ms: int) -> Changes:
    """Return the change that stores a body which was checked before."""
    return stored(facts, body, now_ms)


def removal(noun: str) -> Action[None]:
    """Return the action that removes a document unless others refer to it."""

    def needs(_body: None, facts: Facts) -> Needs:
        return Needs(referrers=frozenset({facts.target}))

    def check(_body: None, facts: Facts, now_ms: int) -> Changes:
        if facts.current is None:
            raise NotFound(f"no such {noun}")
        check_unused(facts.referrers[facts.target])
        return Changes(f"{facts.target.kind}.remove", facts.target, now_ms, removals=(Removal(facts.target),))

    return Action(check, needs)


def check_unused(referrers: Collection[DocumentKey]) -> None:
    """Raise `Conflict` with the names of those that refer to a document."""
    if not referrers:
        return
    names = [f"{one.kind.replace('_', ' ')} {one.key!r}" for one in sorted(referrers)]
    more = f" and {len(names) - REFERRERS_SHOWN_MAX} more" if len(names) > REFERRERS_SHOWN_MAX else ""
    verb = "uses" if len(names) == 1 else "use"
    raise Conflict(f"{', '.join(names[:REFERRERS_SHOWN_MAX])}{more} {verb} it", code="in_use")
