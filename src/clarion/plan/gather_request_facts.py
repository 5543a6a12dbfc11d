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


def keep(known: dict[RequestFactsKey, RequestFacts], found: Mapping[RequestFactsKey, RequestFacts]) -> None:
    """Add request facts to the known ones. Facts that another task has added meanwhile stay: gates are cached by their
    identity."""
    for key, request_facts in found.items():
        known.setdefault(key, request_facts)


class RequestFactsCache:
    """Cache of request facts and of profiles' gates for one process, per tenant until one of its definitions changes.
    Returned facts never change."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revisions: dict[str, int] = {}
        """Revision of each cached tenant, as of before its first read."""
        self._gated = 0
        self.settings: dict[RequestFactsKey, RequestFacts] = {}
        self.gates: dict[int, dict[int, Gate]] = {}
        """By identity of the request facts, then by profile id."""

    async def refresh(self, tenants: Iterable[str]) -> None:
        """Drop the request facts and gates of tenants whose definitions have changed; called once per batch or page."""
        await catch_up(self._directory)
        known, revision = self._revisions, self._directory.revision
        if len(known) >= SETTINGS_MAX or len(self.settings) >= SETTINGS_MAX:
            # Together, because gates are cached by the identity of their request facts.
            self._revisions, self.settings, self.gates, self._gated = {}, {}, {}, 0
        elif stale := {tenant for tenant in tenants if tenant in known and known[tenant] != revision(tenant)}:
            self._drop(stale)
        if self._gated >= GATES_MAX:
            self.gates, self._gated = {}, 0

    def begin(self, tenants: Iterable[str]) -> None:
        """Record the tenants' revisions before their request facts are read: later changes make these stale."""
        for tenant in tenants:
            if tenant not in self._revisions:
                self._revisions[tenant] = self._directory.revision(tenant)

    def count_gates(self, verdicts: int) -> None:
        """Count added gates."""
        self._gated += verdicts

    async def request_facts_of(self, keys: Sequence[RequestFactsKey]) -> dict[RequestFactsKey, RequestFacts]:
        """Return request facts by key (at least these), the same objects until `refresh` finds a change."""
        known = self.settings
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if missing:
            self.begin(key[0] for key in missing)
            keep(known, await read_request_facts(self._directory, missing))
        return known

    async def gates_of(self, request_facts: RequestFacts, profile_ids: Iterable[int], now_ms: int) -> dict[int, Gate]:
        """Return the gate that all users of each profile share at a time (Unix ms)."""
        known, verdicts = self.gates.setdefault(id(request_facts), {}), dict[int, Gate]()
        missing: list[int] = []
        for profile_id in profile_ids:
            found = known.get(profile_id)
            if found is None or now_ms >= found.valid_until_ms:
                missing.append(profile_id)
            else:
                verdicts[profile_id] = found
        if missing:
            self.count_gates(len(missing))
            for profile_id, profile in (await self._directory.profiles(missing)).items():
                verdicts[profile_id] = known[profile_id] = gate(request_facts, profile, now_ms)
        return verdicts

    def _drop(self, tenants: Collection[str]) -> None:
        for tenant in tenants:
            del self._revisions[tenant]
        dropped = {id(request_facts) for key, request_facts in self.settings.items() if key[0] in tenants}
        self.settings = {key: request_facts for key, request_facts in self.settings.items() if key[0] not in tenants}
        self.gates = {name: gates for name, gates in self.gates.items() if name not in dropped}
