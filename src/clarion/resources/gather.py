"""Gathers the facts of a decision, in rounds: documents that were read may name more."""

import asyncio
from typing import TypeVar

from msgspec.structs import replace

from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits import NEEDS_ROUNDS_MAX
from clarion.domain.limits_content import CONFINED_CHILDREN_MAX
from clarion.ports.documents import Documents
from clarion.ports.drafting import BuildJob, Drafting
from clarion.resources.declaration import Action, Facts, Needs

B = TypeVar("B")


class Gatherer:
    """Reads documents, and builds what is to be built. A build of the facts `before` is not made again."""

    def __init__(self, documents: Documents, drafting: Drafting | None = None) -> None:
        self._documents = documents
        self._drafting = drafting

    async def gather(self, action: Action[B], body: B, facts: Facts, before: Facts | None = None) -> Facts:
        """Return all facts that an action needs to decide about a body; those given name its target and actor."""
        needs = Needs(frozenset({facts.target}))
        for _ in range(NEEDS_ROUNDS_MAX):
            facts = await self._read(needs, facts)
            facts = await self._build(needs, facts, before)
            needs = await asyncio.to_thread(action.needs, body, facts) if action.heavy else action.needs(body, facts)
            if _has_all(facts, needs):
                return facts
        raise AssertionError("a decision needs more in each round")

    async def _read(self, needs: Needs, facts: Facts) -> Facts:
        keys = needs.documents - facts.documents.keys()
        referred = needs.referrers - facts.referrers.keys()
        found = await self._documents.read(keys, removed=True) if keys else {}
        referrers = await self._documents.referrers(referred) if referred else {}
        return replace(
            facts,
            documents={**facts.documents, **{key: found.get(key) for key in keys}},
            referrers={**facts.referrers, **referrers},
        )

    async def _build(self, needs: Needs, facts: Facts, before: Facts | None) -> Facts:
        builds = dict(facts.builds)
        missing = [(name, job) for name, job in needs.builds.items() if facts.jobs.get(name) != job]
        if before is not None:
            builds |= {name: before.builds[name] for name, job in missing if before.jobs.get(name) == job}
            missing = [(name, job) for name, job in missing if before.jobs.get(name) != job]
        for start in range(0, len(missing), CONFINED_CHILDREN_MAX):
            group = missing[start : start + CONFINED_CHILDREN_MAX]
            results = await asyncio.gather(*(self._built(job) for _, job in group))
            builds |= {name: result for (name, _), result in zip(group, results, strict=True)}
        return replace(facts, jobs={**facts.jobs, **needs.builds}, builds=builds) if needs.builds else facts

    async def _built(self, job: BuildJob) -> Template | InvalidField:
        if self._drafting is None:
            raise AssertionError("nothing builds here")
        try:
            return await self._drafting.build(job)
        except InvalidField as error:
            return error


def _has_all(facts: Facts, needs: Needs) -> bool:
    return (
        needs.documents <= facts.documents.keys()
        and needs.referrers <= facts.referrers.keys()
        and all(facts.jobs.get(name) == job for name, job in needs.builds.items())
    )
