"""Reads the definitions that request facts are built from."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits_processes import GATES_MAX, SETTINGS_MAX
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.workflow import Workflow
from clarion.plan.gather_each import read_each
from clarion.plan.request_facts import (
    Definitions,
    RequestFactsKey,
    category_of,
    channels_for,
    channels_within,
    digest_of,
    request_facts_of,
)
from clarion.plan.rules.profile_rules import Gate, gate
from clarion.plan.rules.request_facts import RequestFacts
from clarion.ports.directory import DefinitionKey, Directory
from clarion.runtime.followed import catch_up
from clarion.runtime.metering import together
from clarion.runtime.tenant_cache import TenantCache


class RequestFactsReader:
    """Request facts from current definitions, read in three rounds, the last of which is rarely needed; `request_facts`
    then builds them. The rounds are separate calls so that the caller can do its other reads concurrently with each."""

    def __init__(self, directory: Directory, keys: Sequence[RequestFactsKey]) -> None:
        self._directory = directory
        self._keys = keys
        self._workflows = {key: _workflow(key[0], key[5], key[6]) for key in keys if key[5]}
        self._policies = {tenant: _policy(tenant) for tenant, *_ in keys}
        self._digests: dict[RequestFactsKey, DefinitionKey] = {}

    async def first(self) -> None:
        """Read the definitions that requests name, and the tenant-wide ones."""
        directory = self._directory
        self._templates, self._defined, self._defaults = await together(
            directory.templates({key[:2] for key in self._keys if key[1]}),
            directory.definitions({*self._workflows.values(), *self._policies.values()}),
            directory.defaults(self._policies.keys()),
        )

    async def second(self) -> None:
        """Read categories, and the accounts of all channels that they may use."""
        directory = self._directory
        self._named = {key: (key[0], category_of(key, self._templates.get(key[:2]))) for key in self._keys}
        self._categories, self._accounts = await together(
            directory.categories({name for name in self._named.values() if name[1]}),
            directory.accounts({(key[0], channel) for key in self._keys for channel in channels_within(key)}),
        )
        summed_up = {key: digest_of(key, self._categories.get(self._named[key])) for key in self._keys}
        self._digests = {key: _workflow(key[0], name, None) for key, name in summed_up.items() if name}

    async def third(self) -> None:
        """Read the digests that categories name, if any."""
        if self._digests:
            self._defined |= await self._directory.definitions(set(self._digests.values()))

    def request_facts(self) -> dict[RequestFactsKey, RequestFacts]:
        """Return the request facts built from the definitions that were read."""
        return {key: request_facts_of(key, self._of(key)) for key in self._keys}

    def _of(self, key: RequestFactsKey) -> Definitions:
        tenant, *_ = key
        template, category = self._templates.get(key[:2]), self._categories.get(self._named[key])
        policy = self._defined.get(self._policies[tenant])
        workflow = self._defined.get(self._workflows[key]) if key in self._workflows else None
        channels = channels_for(key, template, category)
        return Definitions(
            template=template,
            category=category,
            policy=policy.body if policy else None,
            accounts={channel: [one.name for one in self._accounts[tenant, channel]] for channel in channels},
            defaults=self._defaults[tenant],
            workflow=workflow.body if workflow else None,
            digest=self._defined.get(self._digests[key]) if key in self._digests else None,
        )


async def read_request_facts(
    directory: Directory, keys: Sequence[RequestFactsKey]
) -> dict[RequestFactsKey, RequestFacts]:
    """Return request facts from current definitions."""
    rounds = RequestFactsReader(directory, keys)
    await rounds.first()
    await rounds.second()
    await rounds.third()
    return rounds.request_facts()


class RequestFactsSingleReader:
    """Request facts read in rounds, in which a key that cannot be read fails alone."""

    def __init__(self, directory: Directory, keys: Sequence[RequestFactsKey]) -> None:
        self._directory = directory
        self._rounds = RequestFactsReader(directory, keys)
        self._failed = False
        self.keys = keys

    async def first(self) -> None:
        """Read the first round. Raises `StoreUnavailable`."""
        await self._made(self._rounds.first)

    async def second(self) -> None:
        """Read the second round. Raises `StoreUnavailable`."""
        await self._made(self._rounds.second)

    async def end(self) -> tuple[Mapping[RequestFactsKey, RequestFacts], dict[RequestFactsKey, Exception]]:
        """Read the last round and return the request facts, and the error for each key that cannot be read. Raises
        `StoreUnavailable`."""
        await self._made(self._rounds.third)
        if not self._failed:
            with suppress(Exception):
                return self._rounds.request_facts(), {}
        return await read_each(partial(read_request_facts, self._directory), self.keys)

    async def _made(self, read: Callable[[], Awaitable[None]]) -> None:
        if self._failed:
            return
        try:
            await read()
        except StoreUnavailable:
            raise  # unrelated to the keys
        except Exception:  # noqa: BLE001 - `end` finds the key at fault
            self._failed = True


def _workflow(tenant: str, name: str, version: int | None) -> DefinitionKey:
    return tenant, Workflow, name, version


def _policy(tenant: str) -> DefinitionKey:
    return tenant, Policy, POLICY_KEY, None


class KnownFacts:
    """The request facts of a tenant that are cached, and the gates of profiles."""

    __slots__ = ("_gated", "_gates", "facts")

    def __init__(self) -> None:
        self.facts: dict[RequestFactsKey, RequestFacts] = {}
        self._gates: dict[int, dict[int, Gate]] = {}
        """By identity of the request facts, then by profile id."""
        self._gated = 0

    def add(self, key: RequestFactsKey, request_facts: RequestFacts) -> RequestFacts:
        """Add request facts and return them; those that another task has added meanwhile stay."""
        return self.facts.setdefault(key, request_facts)

    def gates(self, key: RequestFactsKey, request_facts: RequestFacts) -> Mapping[int, Gate]:
        """Return the cached gates by profile id."""
        return self._gates.get(id(request_facts), {}) if self.facts.get(key) is request_facts else {}

    def add_gates(self, key: RequestFactsKey, request_facts: RequestFacts, gates: Mapping[int, Gate]) -> None:
        """Add gates, unless they are of request facts that are not cached."""
        if self.facts.get(key) is request_facts:
            self._gates.setdefault(id(request_facts), {}).update(gates)
            self._gated += len(gates)

    def size(self) -> int:
        """Return how much it counts, in gates."""
        return self._gated + len(self.facts) * (GATES_MAX // SETTINGS_MAX)


class RequestFactsCache:
    """Cache of request facts and of profiles' gates for one process. Returned facts never change."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known = TenantCache(directory, GATES_MAX, KnownFacts)

    async def refresh(self) -> None:
        """Notice definitions that have changed; called once per batch or page."""
        await catch_up(self._directory)

    def of(self, tenants: Iterable[str]) -> dict[str, KnownFacts]:
        """Return what is cached of tenants; called before more is read for it."""
        return {tenant: self._known.of(tenant) for tenant in tenants}

    def keep(self, known: Mapping[str, KnownFacts]) -> None:
        """Count what was added to the result of `of`."""
        for tenant, of_tenant in known.items():
            self._known.keep(tenant, of_tenant, of_tenant.size())

    async def request_facts_of(self, keys: Collection[RequestFactsKey]) -> dict[RequestFactsKey, RequestFacts]:
        """Return request facts by key, the same objects until a definition of their tenant changes."""
        known = self.of({key[0] for key in keys})
        missing = [key for key in dict.fromkeys(keys) if key not in known[key[0]].facts]
        if missing:
            for key, request_facts in (await read_request_facts(self._directory, missing)).items():
                known[key[0]].add(key, request_facts)
            self.keep(known)
        return {key: known[key[0]].facts[key] for key in keys}

    async def gates_of(
        self, key: RequestFactsKey, request_facts: RequestFacts, profile_ids: Iterable[int], now_ms: int
    ) -> dict[int, Gate]:
        """Return the gate that all users of each profile share at a time (Unix ms)."""
        known = self.of((key[0],))
        wanted, cached = list(profile_ids), known[key[0]].gates(key, request_facts)
        verdicts = {id_: one for id_ in wanted if (one := cached.get(id_)) and now_ms < one.valid_until_ms}
        missing = [profile_id for profile_id in wanted if profile_id not in verdicts]
        if missing:
            profiles = await self._directory.profiles(missing)
            new = {profile_id: gate(request_facts, profile, now_ms) for profile_id, profile in profiles.items()}
            known[key[0]].add_gates(key, request_facts, new)
            self.keep(known)
            verdicts |= new
        return verdicts
