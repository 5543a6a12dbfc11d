"""Gathers the facts for decisions about sending: all facts that a batch is expected to need, in few calls."""

from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from clarion.domain.channel import Channel
from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.domain.user import Profile, User
from clarion.journal.events import ChunkFrame, Recipient
from clarion.plan import facts as kinds
from clarion.plan.broadcast.release import broadcast_of, release_key
from clarion.plan.claims import CAPS
from clarion.plan.columns import PlanItem
from clarion.plan.facts import NOBODY, SendFacts, SendKey, Suppressions, inline
from clarion.plan.gather_caps import CapTimes
from clarion.plan.gather_each import read_each
from clarion.plan.gather_request_facts import KnownFacts, RequestFactsCache, RequestFactsSingleReader
from clarion.plan.request_facts import RequestFactsKey, request_facts_key
from clarion.plan.rules.decide import addresses_of, wanted_addresses
from clarion.plan.rules.need import Need
from clarion.plan.rules.profile_rules import Gate, gate
from clarion.ports.directory import Directory
from clarion.ports.journal_cells import CapWrite
from clarion.ports.stage_store import StageStore
from clarion.runtime.metering import together


class _RecipientKeys:
    """The recipients of a request: users by id, inline recipients with their addresses."""

    __slots__ = ("addresses", "inline", "user_ids")

    def __init__(self) -> None:
        self.user_ids: set[str] = set()
        self.inline: list[Recipient] = []
        self.addresses: set[tuple[Channel, str]] = set()


_Place = tuple[str, Channel, str]
"""A tenant, a channel and an address."""
_Read = Coroutine[Any, Any, None]


class _FactKeys:
    """Keys of the facts to read: those of whole sends, and single facts by their kind."""

    __slots__ = ("addresses", "blocks", "broadcasts", "profiles", "sends", "tenants", "users")

    def __init__(self) -> None:
        self.sends: dict[RequestFactsKey, _RecipientKeys] = {}
        self.users: dict[str, set[str]] = {}
        self.tenants: set[str] = set()
        self.profiles: dict[int, None] = {}
        self.addresses: dict[str, set[tuple[Channel, str]]] = {}
        self.blocks: dict[tuple[str, bytes], set[int]] = {}
        self.broadcasts: set[bytes] = set()

    def item(self, item: PlanItem) -> None:
        """Add the keys for deciding about a notification."""
        wanted = self._of(request_facts_key(item.tenant, item.request, item.route))
        for to in item.request.to:
            if to.user_id:
                wanted.user_ids.add(to.user_id)
            else:
                wanted.inline.append(to)

    def send(self, key: SendKey) -> None:
        """Add the keys for deciding about some recipients of a request."""
        request_facts, user_ids, addresses = key
        wanted = self._of(request_facts)
        wanted.user_ids.update(user_ids)
        wanted.addresses.update(addresses)

    def need(self, need: Need) -> None:
        """Add the missing facts of a decision. Needs of other kinds are ignored."""
        key: Any
        for key in need.of(kinds.SENDS):
            self.send(key)
        for key in need.of(kinds.REQUEST_FACTS):
            self._of(key)
        for key in need.of(kinds.USERS):
            self.users.setdefault(key[0], set()).add(key[1])
        for key in need.of(kinds.SUPPRESSIONS):
            self.addresses.setdefault(key[0], set()).add(key[1:])
        for key in need.of(CAPS):
            self.blocks.setdefault(key[:2], set()).add(key[2])
        self.tenants.update(cast("Iterable[str]", need.of(kinds.SUPPRESSING)))
        self.profiles.update(dict.fromkeys(cast("Iterable[int]", need.of(kinds.PROFILES))))
        self.broadcasts.update(cast("Iterable[bytes]", need.of(kinds.BROADCASTS)))

    def people(self) -> dict[str, set[str]]:
        """Return all users, by tenant: at least an empty set of each tenant that sends."""
        found = {tenant: set(names) for tenant, names in self.users.items()}
        for (tenant, *_), wanted in self.sends.items():
            found.setdefault(tenant, set()).update(wanted.user_ids)
        return found

    def _of(self, key: RequestFactsKey) -> _RecipientKeys:
        wanted = self.sends.get(key)
        if wanted is None:
            wanted = self.sends[key] = _RecipientKeys()
        return wanted


class SendGatherer:
    """Reads facts for one process and caches those that are likely to be needed again."""

    def __init__(self, store: StageStore, directory: Directory) -> None:
        self._store = store
        self._directory = directory
        self._caps = CapTimes(store)
        self._known = RequestFactsCache(directory)

    def forget_caps(self) -> None:
        """Drop the cached cap times: other processes have changed some."""
        self._caps.forget()

    def keep_caps(self, writes: Iterable[CapWrite]) -> None:
        """Update the cached cap times with committed writes, so that the next step need not read them."""
        self._caps.keep(writes)

    async def gather(
        self, items: Sequence[PlanItem], now_ms: int, chunks: Sequence[ChunkFrame] = (), tenants: Iterable[str] = ()
    ) -> SendFacts:
        """Return the facts for deciding about notifications, and about held chunks that are due, at a time (Unix ms).
        `tenants` will have more sends than are known yet."""
        self._caps.trim()
        keys_needed = _FactKeys()
        keys_needed.tenants.update(tenants)
        for item in items:
            if (item.request.send_at_ms or 0) <= now_ms:
                keys_needed.item(item)
        for chunk in chunks:
            keys_needed.send(release_key(chunk))
            keys_needed.broadcasts.add(broadcast_of(chunk))
        await self._known.refresh()
        facts = SendFacts()
        await self._read(facts, keys_needed, now_ms)
        return facts

    async def prefetch(self, facts: SendFacts, items: Sequence[PlanItem], now_ms: int) -> SendFacts:
        """Return the facts extended by those for deciding about more notifications."""
        keys_needed = _FactKeys()
        for item in items:
            keys_needed.item(item)
        await self._read(facts, keys_needed, now_ms)
        return facts

    async def more(self, facts: SendFacts, need: Need, now_ms: int) -> SendFacts:
        """Return the facts extended by the missing ones of a decision. Needs of other kinds are ignored."""
        keys_needed = _FactKeys()
        keys_needed.need(need)
        await self._read(facts, keys_needed, now_ms)
        return facts

    async def _read(self, facts: SendFacts, keys_needed: _FactKeys, now_ms: int) -> None:
        """Read in three rounds: named facts; facts that these refer to; and the suppressions and caps that few of them
        have. Request facts that name digests need one more."""
        users = keys_needed.people()
        known = self._known.of({key[0] for key in keys_needed.sends})
        new = _not_cached(facts, keys_needed.sends, known)
        apart = RequestFactsSingleReader(self._directory, new) if new else None
        await together(
            *([apart.first()] if apart else ()),
            *self._users(facts, users),
            *self._suppressing(facts, keys_needed.tenants.union(users)),
            *self._broadcasts(facts, keys_needed.broadcasts),
        )
        people = {key: _people(facts, key, wanted) for key, wanted in keys_needed.sends.items()}
        without_gates = self._without_gates(facts, people, known, now_ms)
        await together(
            *([apart.second()] if apart else ()),
            *self._profiles(facts, without_gates | keys_needed.profiles),
        )
        if apart:
            found, failed = await apart.end()
            facts.request_facts.update({key: known[key[0]].add(key, one) for key, one in found.items()})
            facts.failures.update({(kinds.REQUEST_FACTS, key): error for key, error in failed.items()})
            people = {key: users for key, users in people.items() if key in facts.request_facts}
        if without_gates:
            self._gate(facts, people, known, now_ms)
        self._known.keep(known)
        addresses, blocks = _addresses(facts, keys_needed, people), _blocks(facts, keys_needed, people)
        await together(*self._suppressions(facts, addresses), *self._cap_times(facts, blocks))

    def _cap_times(self, facts: SendFacts, blocks: Mapping[tuple[str, bytes], set[int]]) -> Iterator[_Read]:
        if blocks:
            yield self._read_cap_times(facts, blocks)

    async def _read_cap_times(self, facts: SendFacts, blocks: Mapping[tuple[str, bytes], set[int]]) -> None:
        facts.caps.update(await self._caps.load(blocks))

    def _users(self, facts: SendFacts, wanted: Mapping[str, set[str]]) -> Iterator[_Read]:
        """Yield the read of users that are not known yet, if any."""
        asked: dict[str, list[str]] = {}
        for tenant, names in wanted.items():
            if missing := names - facts.users.setdefault(tenant, {}).keys():
                asked[tenant] = sorted(missing)  # neighbours in the store are read together
        if asked:
            yield self._read_users(facts, asked)

    async def _read_users(self, facts: SendFacts, asked: Mapping[str, Sequence[str]]) -> None:
        found, failed = await read_each(partial(self._users_of, asked), list(asked))
        for tenant, users in found.items():
            facts.users[tenant].update(users)
        for tenant in failed:  # some user of this tenant cannot be read
            users, unread = await read_each(partial(self._named, tenant), asked[tenant])
            facts.users[tenant].update(users)
            facts.failures.update({(kinds.USERS, (tenant, name)): error for name, error in unread.items()})

    async def _users_of(
        self, asked: Mapping[str, Sequence[str]], tenants: Sequence[str]
    ) -> Mapping[str, Mapping[str, User | None]]:
        found = await self._directory.users({tenant: asked[tenant] for tenant in tenants})
        return {tenant: {**dict.fromkeys(asked[tenant]), **users} for tenant, users in found.items()}

    async def _named(self, tenant: str, names: Sequence[str]) -> Mapping[str, User | None]:
        return (await self._users_of({tenant: names}, (tenant,)))[tenant]

    def _profiles(self, facts: SendFacts, wanted: Iterable[int]) -> Iterator[_Read]:
        if missing := [id_ for id_ in wanted if id_ not in facts.profiles]:
            yield self._read_profiles(facts, missing)

    async def _read_profiles(self, facts: SendFacts, missing: Sequence[int]) -> None:
        found, failed = await read_each(self._profiles_of, missing)
        facts.profiles.update(found)
        failed |= {id_: KeyError(id_) for id_ in missing if id_ not in found and id_ not in failed}
        facts.failures.update({(kinds.PROFILES, id_): error for id_, error in failed.items()})

    async def _profiles_of(self, ids: Sequence[int]) -> Mapping[int, Profile]:
        return await self._directory.profiles(ids)

    def _without_gates(
        self,
        facts: SendFacts,
        people: Mapping[RequestFactsKey, Sequence[User]],
        known: Mapping[str, KnownFacts],
        now_ms: int,
    ) -> dict[int, None]:
        """Take the cached gates of all users' profiles, and return the profiles without a valid one, also for request facts
        that are not read yet."""
        found: dict[int, None] = {}
        for key, users in people.items():
            request_facts, gates = facts.request_facts.get(key), dict[int, Gate]()
            if request_facts is not None:
                gates = facts.gates.setdefault(id(request_facts), gates)
                cached = known[key[0]].gates(key, request_facts)
                profiles = _without_verdict(gates, users, now_ms)
                gates.update({profile_id: cached[profile_id] for profile_id in profiles if profile_id in cached})
            found.update(dict.fromkeys(_without_verdict(gates, users, now_ms)))
        return found

    def _gate(
        self,
        facts: SendFacts,
        people: Mapping[RequestFactsKey, Sequence[User]],
        known: Mapping[str, KnownFacts],
        now_ms: int,
    ) -> None:
        """Compute the missing gates of all users' profiles."""
        for key, users in people.items():
            request_facts, new = facts.request_facts[key], dict[int, Gate]()
            gates = facts.gates.setdefault(id(request_facts), {})
            for profile_id in _without_verdict(gates, users, now_ms):
                profile = facts.profiles.get(profile_id)
                if profile is not None:
                    with suppress(Exception):  # the decision that needs it raises the same error, and fails alone
                        new[profile_id] = gate(request_facts, profile, now_ms)
            gates.update(new)
            known[key[0]].add_gates(key, request_facts, new)

    def _suppressing(self, facts: SendFacts, tenants: Iterable[Any]) -> Iterator[_Read]:
        """Yield the read of which tenants have suppressions, if any is unknown."""
        if asked := [tenant for tenant in tenants if tenant not in facts.suppressions]:
            yield self._read_suppressing(facts, asked)

    async def _read_suppressing(self, facts: SendFacts, tenants: Sequence[str]) -> None:
        for tenant, channels in (await self._directory.suppressing(tenants)).items():
            facts.suppressions[tenant] = Suppressions(tenant, facts.failures) if channels else None

    def _suppressions(self, facts: SendFacts, wanted: Mapping[str, Iterable[tuple[Channel, str]]]) -> Iterator[_Read]:
        """Yield the read of suppressed addresses of tenants that have suppressions, if any is unknown."""
        asked = [
            (tenant, channel, address)
            for tenant, places in wanted.items()
            if (known := facts.suppressions[tenant]) is not None
            for channel, address in places
            if address and not known.knows(channel, address)
        ]
        if asked:
            yield self._read_suppressions(facts, asked)

    async def _read_suppressions(self, facts: SendFacts, asked: Sequence[_Place]) -> None:
        found, failed = await read_each(self._suppressed, asked)
        causes: dict[str, dict[tuple[str, str], str | None]] = {}
        for (tenant, channel, address), cause in found.items():
            causes.setdefault(tenant, {})[channel, address] = cause
        for tenant, places in causes.items():
            if (known := facts.suppressions[tenant]) is not None:
                known.add(places)
        facts.failures.update({(kinds.SUPPRESSIONS, place): error for place, error in failed.items()})

    async def _suppressed(self, asked: Sequence[_Place]) -> Mapping[_Place, str | None]:
        wanted: dict[tuple[str, str], list[str]] = {}
        for tenant, channel, address in asked:
            wanted.setdefault((tenant, channel), []).append(address)
        found = await self._directory.suppressed(wanted)
        return {place: found[place[:2]].get(place[2]) for place in asked}

    def _broadcasts(self, facts: SendFacts, wanted: Collection[bytes]) -> Iterator[_Read]:
        if wanted:
            yield self._read_broadcasts(facts, wanted)

    async def _read_broadcasts(self, facts: SendFacts, asked: Collection[bytes]) -> None:
        found = await self._store.cursors_by_id(asked)
        for broadcast in asked:
            facts.cancelled[broadcast] = broadcast in found and found[broadcast].status == "cancelled"


def _not_cached(
    facts: SendFacts, wanted: Iterable[RequestFactsKey], known: Mapping[str, KnownFacts]
) -> list[RequestFactsKey]:
    """Take the cached ones of request facts, and return the keys of the others."""
    missing = []
    for key in wanted:
        if key not in facts.request_facts:
            cached = known[key[0]].facts.get(key)
            if cached is None:
                missing.append(key)
            else:
                facts.request_facts[key] = cached
    return missing


def _people(facts: SendFacts, key: RequestFactsKey, wanted: _RecipientKeys) -> list[User]:
    known = facts.users[key[0]]
    return [user for name in wanted.user_ids if (user := known.get(name)) is not None]


def _without_verdict(gates: Mapping[int, Gate], users: Sequence[User], now_ms: int) -> list[int]:
    """Return the profiles of users without a gate that is valid at a time (Unix ms)."""
    return [
        profile_id
        for profile_id in {user.profile_id for user in users}
        if profile_id != NOBODY and ((known := gates.get(profile_id)) is None or now_ms >= known.valid_until_ms)
    ]


def _addresses(
    facts: SendFacts, keys_needed: _FactKeys, people: Mapping[RequestFactsKey, Sequence[User]]
) -> dict[str, set[tuple[Channel, str]]]:
    """Return the addresses whose suppression to read, for tenants that have suppressions."""
    found, sends = keys_needed.addresses, keys_needed.sends
    for key, users in people.items():
        tenant, *_ = key
        if facts.suppressions[tenant] is None:
            continue
        request_facts, places = facts.request_facts[key], found.setdefault(tenant, set())
        verdicts = facts.gates.get(id(request_facts), {})
        gates = [verdicts.get(user.profile_id) for user in users]
        known = [(user, gate) for user, gate in zip(users, gates, strict=True) if gate is not None]
        wanted = wanted_addresses((user for user, _ in known), (gate for _, gate in known))
        for channel, addresses in wanted.items():
            places.update((channel, address) for address in addresses)
        places |= sends[key].addresses
        places |= {
            (channel, address)
            for to in sends[key].inline
            for channel in request_facts.channels
            for address in addresses_of(inline(to), channel)
        }
    return found


def _blocks(
    facts: SendFacts, keys_needed: _FactKeys, people: Mapping[RequestFactsKey, Sequence[User]]
) -> dict[tuple[str, bytes], set[int]]:
    """Return the cap blocks of all users who may be under a cap."""
    found = keys_needed.blocks
    for key, users in people.items():
        caps = facts.request_facts[key].caps
        if caps:
            numbers = {user.ordinal // CAP_BLOCK_USERS for user in users if user.ordinal}
            for cap in caps:
                found.setdefault((key[0], cap.rule), set()).update(numbers)
    return found
