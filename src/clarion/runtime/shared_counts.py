"""Decisions on values that many processes change without a lock between reading and storing.

A rule reads values, decides new ones, and stores them only if no other writer did so first. A late writer gets the
current values, decides again from these, and retries a bounded number of times.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from clarion.domain.errors import Overloaded
from clarion.ports.clock import Clock
from clarion.ports.versioned import Change, Swapping, Versioned

SWAP_TRIES_MAX: Final = 16
"""How often values are decided again when other writers were first."""
SWAP_PAUSE_MS: Final = 2
"""The longest pause before the third try, in milliseconds; the bound grows by as much with each further try."""

N = TypeVar("N")
V = TypeVar("V")
A = TypeVar("A")


class Settled(NamedTuple, Generic[V, A]):
    """The decision of a rule on a group: the current values of the group, and the rule's answer."""

    now: list[Versioned[V]]
    answer: A


Decide = Callable[[int, list[V]], tuple[Sequence[V], A]]
"""A pure rule: from the number of a group and its values to new values and an answer. If all values are the same
objects as before, nothing is stored."""


async def settle_each(
    store: Swapping[N, V],
    groups: Sequence[Sequence[N]],
    decide: Decide[V, A],
    clock: Clock,
    known: Sequence[Sequence[Versioned[V]] | None] | None = None,
) -> list[Settled[V, A] | None]:
    """Decide on groups of names and store the results, each group as a whole; return None for a group that other
    writers changed first `SWAP_TRIES_MAX` times. `known` are values for the first decision in place of a read, None for
    a group to be read: if other writers have changed them, that costs another try, and a decision that stores nothing
    is only as current as they are. Raises as `Swapping.read`."""
    settled: list[Settled[V, A] | None] = [None] * len(groups)
    values = await _known(store, groups, known or [None] * len(groups))
    open_ = list(range(len(groups)))
    for tries in range(SWAP_TRIES_MAX):
        if tries > 1:
            await asyncio.sleep(clock.jitter() * SWAP_PAUSE_MS * (tries - 1) / 1000)
        changes: list[list[Change[N, V]]] = []
        answers: list[A] = []
        changed: list[int] = []
        for index in open_:
            old = [one.value for one in values[index]]
            new, answer = decide(index, old)
            if all(after is before for after, before in zip(new, old, strict=True)):
                settled[index] = Settled(values[index], answer)
                continue
            versions = (one.version for one in values[index])
            changes.append([Change(*change) for change in zip(groups[index], versions, new, strict=True)])
            answers.append(answer)
            changed.append(index)
        if not changed:
            return settled
        open_ = []
        for index, answer, (stored, now) in zip(changed, answers, await store.swap(changes), strict=True):
            values[index] = now
            if stored:
                settled[index] = Settled(now, answer)
            else:
                open_.append(index)
        if not open_:
            return settled
    return settled


async def settle(
    store: Swapping[N, V],
    names: Sequence[N],
    decide: Callable[[list[V]], tuple[Sequence[V], A]],
    clock: Clock,
    known: Sequence[Versioned[V]] | None = None,
) -> Settled[V, A]:
    """Do the same with one group. Raises `Overloaded` when other writers were first each time, and as
    `Swapping.read`."""
    (settled,) = await settle_each(
        store, [names], lambda _, values: decide(values), clock, None if known is None else [known]
    )
    if settled is None:
        raise Overloaded(f"other writers changed the same values {SWAP_TRIES_MAX} times in a row")
    return settled


async def _known(
    store: Swapping[N, V], groups: Sequence[Sequence[N]], known: Sequence[Sequence[Versioned[V]] | None]
) -> list[list[Versioned[V]]]:
    lacking = [name for names, some in zip(groups, known, strict=True) if some is None for name in names]
    found = iter(await store.read(lacking) if lacking else [])
    return [
        [next(found) for _ in names] if some is None else list(some) for names, some in zip(groups, known, strict=True)
    ]
