"""Gathers the facts that decisions about sending look at: everything that a batch can be foreseen to need, in few calls."""

from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from clarion.domain.channel import Channel
from clarion.domain.limits_deciding import CAP_BLOCK_USERS
from clarion.domain.user import Profile, User
from clarion.journal.events import ChunkFrame, Recipient
from clarion.plan import facts as kinds
from clarion.plan.broadcast.release import broadcast_of, release_key
from clarion.plan.claims import CAPS
from clarion.plan.columns import Accepted
from clarion.plan.facts import NOBODY, SendFacts, SendKey, Suppressions, inline
from clarion.plan.gather_caps import CapTimes
from clarion.plan.gather_each import read_each
from clarion.plan.gather_settings import KnownSettings, ReadApart, keep
from clarion.plan.rules.decide import addresses_of, wanted_addresses
from clarion.plan.rules.group import Gate, gate
from clarion.plan.rules.need import Need
from clarion.plan.settings import SettingKey, setting_key
from clarion.ports.directory import Directory
from clarion.ports.journal_cells import CapWrite
from clarion.ports.metering import together
from clarion.ports.stage_store import StageStore


class _Wanted:
    """Whom a request goes to: users by id, others with their addresses."""

    __slots__ = ("addresses", "inline", "user_ids")

    def __init__(self) -> None:
        self.user_ids: set[str] = set()
        self.inline: list[Recipient] = []
        self.addresses: set[tuple[Channel, str]] = set()


_Place = tuple[str, Channel, str]
"""A tenant, a channel and an address."""
_Read = Coroutine[Any, Any, None]


class _Wish:
    """What is to be read: all that sends take, and single facts by their kind."""

    __slots__ = ("addresses", "blocks", "broadcasts", "profiles", "sends", "tenants", "users")

    def __init__(self) -> None:
        self.sends: dict[SettingKey, _Wanted] = {}
        self.users: dict[str, set[str]] = {}
        self.tenants: set[str] = set()
        self.profiles: dict[int, None] = {}
        self.addresses: dict[str, set[tuple[Channel, str]]] = {}
        self.blocks: dict[tuple[str, bytes], set[int]] = {}
        self.broadcasts: set[bytes] = set()

    def item(self, item: Accepted) -> None:
        """Add what deciding about a notification takes."""
        wanted = self._of(setting_key(item.tenant, item.request, item.route))
        for to in item.request.to:
            if to.user_id:
                wanted.user_ids.add(to.user_id)
            else:
                wanted.inline.append(to)

    def send(self, key: SendKey) -> None:
        """Add what deciding about some recipients of a request takes."""
        setting, user_ids, addresses = key
        wanted = self._of(setting)
        wanted.user_ids.update(user_ids)
        wanted.addresses.update(addresses)

    def need(self, need: Need) -> None:
        """Add what a decision lacked. Needs of other kinds are not looked at."""
        key: Any
        for key in need.of(kinds.SENDS):
            self.send(key)
        for key in need.of(kinds.SETTINGS):
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

    def _of(self, key: SettingKey) -> _Wanted:
        wanted = self.sends.get(key)
        if wanted is None:
            wanted = self.sends[key] = _Wanted()
        return wanted


class SendGatherer:
    """Reads facts for one process and keeps what is likely to be asked for again."""

    def __init__(self, store: StageStore, directory: Directory) -> None:
        self._store = store
        self._directory = directory
        self._caps = CapTimes(store)
        self._known = KnownSettings(directory)

    def forget_caps(self) -> None:
        """Read cap times again: others have changed some."""
        self._caps.forget()

    def keep_caps(self, writes: Iterable[CapWrite]) -> None:
        """Take over what was written of caps, so that the next step need not read it."""
        self._caps.keep(writes)

    async def gather(
        self, items: Sequence[Accepted], now_ms: int, chunks: Sequence[ChunkFrame] = (), tenants: Iterable[str] = ()
    ) -> SendFacts:
        """Return what deciding about notifications, and about held chunks whose time has come, takes at a time (Unix ms). Of
        `tenants`, more will be sent than is known yet."""
        self._caps.trim()
        wish = _Wish()
        wish.tenants.update(tenants)
        for item in items:
            if (item.request.send_at_ms or 0) <= now_ms:
                wish.item(item)
        for chunk in chunks:
            wish.send(release_key(chunk))
            wish.broadcasts.add(broadcast_of(chunk))
        await self._known.refresh({*wish.tenants, *(tenant for tenant, *_ in wish.sends)})
        facts = SendFacts(settings=self._known.settings, gates=self._known.gates)
        await self._read(facts, wish, now_ms)
        return facts

    async def foresee(self, facts: SendFacts, items: Sequence[Accepted], now_ms: int) -> SendFacts:
        """Return facts with what deciding about more notifications takes added to them."""
        wish = _Wish()
        for item in items:
            wish.item(item)
        await self._read(facts, wish, now_ms)
        return facts

    async def more(self, facts: SendFacts, need: Need, now_ms: int) -> SendFacts:
        """Return facts with what a decision lacked added to them. Needs of other kinds are not looked at."""
        wish = _Wish()
        wish.need(need)
        await self._read(facts, wish, now_ms)
        return facts

    async def _read(self, facts: SendFacts, wish: _Wish, now_ms: int) -> None:
        """Read in three rounds: what is named; what that leads to; and what of it few have. One more where settings name digests."""
        users = wish.people()
        new = [key for key in wish.sends if key not in facts.settings]
        apart = self._apart(new)
        await together(
            *([apart.first()] if apart else ()),
            *self._users(facts, users),
            *self._suppressing(facts, wish.tenants.union(users)),
            *self._broadcasts(facts, wish.broadcasts),
        )
        people = {key: _people(facts, key, wanted) for key, wanted in wish.sends.items()}
        unjudged = self._unjudged(facts, people, now_ms)
        await together(
            *([apart.second()] if apart else ()),
            *self._profiles(facts, unjudged | wish.profiles),
        )
        if apart:
            found, failed = await apart.end()
            keep(facts.settings, found)
            facts.failures.update({(kinds.SETTINGS, key): error for key, error in failed.items()})
            people = {key: users for key, users in people.items() if key in facts.settings}
        if unjudged:
            self._gate(facts, people, now_ms)
        addresses, blocks = _addresses(facts, wish, people), _blocks(facts, wish, people)
        await together(*self._suppressions(facts, addresses), *self._cap_times(facts, blocks))

    def _apart(self, keys: Sequence[SettingKey]) -> ReadApart | None:
        if not keys:
            return None
        self._known.begin(key[0] for key in keys)
        return ReadApart(self._directory, keys)

    def _cap_times(self, facts: SendFacts, blocks: Mapping[tuple[str, bytes], set[int]]) -> Iterator[_Read]:
        if blocks:
            yield self._read_cap_times(facts, blocks)

    async def _read_cap_times(self, facts: SendFacts, blocks: Mapping[tuple[str, bytes], set[int]]) -> None:
        facts.caps.update(await self._caps.load(blocks))

    def _users(self, facts: SendFacts, wanted: Mapping[str, set[str]]) -> Iterator[_Read]:
        """Read the users of each tenant that are not known yet."""
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
        for tenant in failed:  # somebody of theirs cannot be read
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

    def _unjudged(self, facts: SendFacts, people: Mapping[SettingKey, Sequence[User]], now_ms: int) -> dict[int, None]:
        """Return the profiles of which there is no verdict, be it that there is no setting yet."""
        found: dict[int, None] = {}
        for key, users in people.items():
            setting = facts.settings.get(key)
            gates = {} if setting is None else facts.gates.get(id(setting), {})
            found.update(dict.fromkeys(_without_verdict(gates, users, now_ms)))
        return found

    def _gate(self, facts: SendFacts, people: Mapping[SettingKey, Sequence[User]], now_ms: int) -> None:
        """Have the verdicts of everyone's profiles at hand."""
        for key, users in people.items():
            setting = facts.settings[key]
            gates = facts.gates.setdefault(id(setting), {})
            missing = _without_verdict(gates, users, now_ms)
            self._known.gated(len(missing))
            for profile_id in missing:
                profile = facts.profiles.get(profile_id)
                if profile is not None:
                    with suppress(Exception):  # the decision that asks for it fails by the same exception, alone
                        gates[profile_id] = gate(setting, profile, now_ms)

    def _suppressing(self, facts: SendFacts, tenants: Iterable[Any]) -> Iterator[_Read]:
        """Learn which tenants have suppressions."""
        if asked := [tenant for tenant in tenants if tenant not in facts.suppressions]:
            yield self._read_suppressing(facts, asked)

    async def _read_suppressing(self, facts: SendFacts, tenants: Sequence[str]) -> None:
        for tenant, channels in (await self._directory.suppressing(tenants)).items():
            facts.suppressions[tenant] = Suppressions(tenant, facts.failures) if channels else None

    def _suppressions(self, facts: SendFacts, wanted: Mapping[str, Iterable[tuple[Channel, str]]]) -> Iterator[_Read]:
        """Look addresses up, of those tenants that have suppressions."""
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
        whys: dict[str, dict[tuple[str, str], str | None]] = {}
        for (tenant, channel, address), why in found.items():
            whys.setdefault(tenant, {})[channel, address] = why
        for tenant, places in whys.items():
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


def _people(facts: SendFacts, key: SettingKey, wanted: _Wanted) -> list[User]:
    known = facts.users[key[0]]
    return [user for name in wanted.user_ids if (user := known.get(name)) is not None]


def _without_verdict(gates: Mapping[int, Gate], users: Sequence[User], now_ms: int) -> list[int]:
    """Return the profiles of users of which there is no verdict that holds at a time (Unix ms)."""
    return [
        profile_id
        for profile_id in {user.profile_id for user in users}
        if profile_id != NOBODY and ((known := gates.get(profile_id)) is None or now_ms >= known.valid_until_ms)
    ]


def _addresses(
    facts: SendFacts, wish: _Wish, people: Mapping[SettingKey, Sequence[User]]
) -> dict[str, set[tuple[Channel, str]]]:
    """Return the addresses to look up, of tenants that have suppressions."""
    found, sends = wish.addresses, wish.sends
    for key, users in people.items():
        tenant, *_ = key
        if facts.suppressions[tenant] is None:
            continue
        setting, places = facts.settings[key], found.setdefault(tenant, set())
        verdicts = facts.gates.get(id(setting), {})
        gates = [verdicts.get(user.profile_id) for user in users]
        known = [(user, gate) for user, gate in zip(users, gates, strict=True) if gate is not None]
        wanted = wanted_addresses((user for user, _ in known), (gate for _, gate in known))
        for channel, addresses in wanted.items():
            places.update((channel, address) for address in addresses)
        places |= sends[key].addresses
        places |= {
            (channel, address)
            for to in sends[key].inline
            for channel in setting.channels
            for address in addresses_of(inline(to), channel)
        }
    return found


def _blocks(
    facts: SendFacts, wish: _Wish, people: Mapping[SettingKey, Sequence[User]]
) -> dict[tuple[str, bytes], set[int]]:
    """Return the blocks of everyone who may be under a cap."""
    found = wish.blocks
    for key, users in people.items():
        caps = facts.settings[key].caps
        if caps:
            numbers = {user.ordinal // CAP_BLOCK_USERS for user in users if user.ordinal}
            for cap in caps:
                found.setdefault((key[0], cap.rule), set()).update(numbers)
    return found
