"""Gathers the facts that decisions about sending look at: everything that a batch can be foreseen to need, in few calls."""

from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

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
from clarion.plan.gather_settings import KnownSettings, keep, read_settings
from clarion.plan.rules.decide import addresses_of, wanted_addresses
from clarion.plan.rules.group import gate
from clarion.plan.rules.need import Need
from clarion.plan.rules.setting import Setting
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


_Sends = dict[SettingKey, _Wanted]
_Place = tuple[str, Channel, str]
"""A tenant, a channel and an address."""
_Read = Coroutine[Any, Any, None]


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

    async def gather(self, items: Sequence[Accepted], now_ms: int, chunks: Sequence[ChunkFrame] = ()) -> SendFacts:
        """Return what deciding about notifications, and about held chunks whose time has come, takes at a time (Unix ms)."""
        self._caps.trim()
        sends: _Sends = {}
        for item in items:
            if (item.request.send_at_ms or 0) <= now_ms:
                _want(sends, item)
        for chunk in chunks:
            _wanted(sends, release_key(chunk))
        await self._known.refresh({tenant for tenant, *_ in sends})
        facts = SendFacts(settings=self._known.settings, gates=self._known.gates)
        await self._broadcasts(facts, {broadcast_of(chunk) for chunk in chunks})
        await self._foresee(facts, sends, now_ms)
        return facts

    async def foresee(self, facts: SendFacts, items: Sequence[Accepted], now_ms: int) -> SendFacts:
        """Return facts with what deciding about more notifications takes added to them."""
        sends: _Sends = {}
        for item in items:
            _want(sends, item)
        await self._foresee(facts, sends, now_ms)
        return facts

    async def more(self, facts: SendFacts, need: Need, now_ms: int) -> SendFacts:
        """Return facts with what a decision lacked added to them. Needs of other kinds are not looked at."""
        sends: _Sends = {}
        key: Any
        for key in need.of(kinds.SENDS):
            _wanted(sends, key)
        for key in need.of(kinds.SETTINGS):
            sends.setdefault(key, _Wanted())
        await self._foresee(facts, sends, now_ms)
        users: dict[str, set[str]] = {}
        for key in need.of(kinds.USERS):
            users.setdefault(key[0], set()).add(key[1])
        await together(
            *self._users(facts, users),
            *self._suppressing(facts, need.of(kinds.SUPPRESSING)),
            self._profiles(facts, need.of(kinds.PROFILES)),
        )
        addresses: dict[str, set[tuple[Channel, str]]] = {}
        for key in need.of(kinds.SUPPRESSIONS):
            addresses.setdefault(key[0], set()).add(key[1:])
        blocks: dict[tuple[str, bytes], set[int]] = {}
        for key in need.of(CAPS):
            blocks.setdefault(key[:2], set()).add(key[2])
        await together(*self._suppressions(facts, addresses), *self._cap_times(facts, blocks))
        await self._broadcasts(facts, need.of(kinds.BROADCASTS))
        return facts

    async def _foresee(self, facts: SendFacts, sends: _Sends, now_ms: int) -> None:
        users: dict[str, set[str]] = {}
        for key, wanted in sends.items():
            users.setdefault(key[0], set()).update(wanted.user_ids)
        await together(
            *self._settings(facts, [key for key in sends if key not in facts.settings]),
            *self._users(facts, users),
            *self._suppressing(facts, users),
        )
        people = {key: _people(facts, key, wanted) for key, wanted in sends.items() if key in facts.settings}
        await self._gate(facts, people, now_ms)
        await together(
            *self._suppressions(facts, _addresses(facts, sends, people)),
            *self._cap_times(facts, _blocks(facts, people)),
        )

    def _settings(self, facts: SendFacts, keys: Sequence[SettingKey]) -> Iterator[_Read]:
        if keys:
            self._known.begin(key[0] for key in keys)
            yield self._read_settings(facts, keys)

    async def _read_settings(self, facts: SendFacts, keys: Sequence[SettingKey]) -> None:
        found, failed = await read_each(partial(read_settings, self._directory), keys)
        keep(facts.settings, found)
        facts.failures.update({(kinds.SETTINGS, key): error for key, error in failed.items()})

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

    async def _profiles(self, facts: SendFacts, wanted: Iterable[Any]) -> None:
        missing: list[int] = [id_ for id_ in wanted if id_ not in facts.profiles]
        if missing:
            found, failed = await read_each(self._read_profiles, missing)
            facts.profiles.update(found)
            failed |= {id_: KeyError(id_) for id_ in missing if id_ not in found and id_ not in failed}
            facts.failures.update({(kinds.PROFILES, id_): error for id_, error in failed.items()})

    async def _read_profiles(self, ids: Sequence[int]) -> Mapping[int, Profile]:
        return await self._directory.profiles(ids)

    async def _gate(self, facts: SendFacts, people: Mapping[SettingKey, Sequence[User]], now_ms: int) -> None:
        """Have the verdicts of everyone's profiles at hand, profiles read together."""
        missing: list[tuple[Setting, int]] = []
        for key, users in people.items():
            setting = facts.settings[key]
            gates = facts.gates.setdefault(id(setting), {})
            for profile_id in {user.profile_id for user in users}:
                known = gates.get(profile_id)
                if profile_id != NOBODY and (known is None or now_ms >= known.valid_until_ms):
                    missing.append((setting, profile_id))
        await self._profiles(facts, dict.fromkeys(profile_id for _, profile_id in missing))
        self._known.gated(len(missing))
        for setting, profile_id in missing:
            profile = facts.profiles.get(profile_id)
            if profile is not None:
                with suppress(Exception):  # the decision that asks for it fails by the same exception, alone
                    facts.gates[id(setting)][profile_id] = gate(setting, profile, now_ms)

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

    async def _broadcasts(self, facts: SendFacts, wanted: Iterable[Any]) -> None:
        asked = set(wanted)
        found = await self._store.cursors_by_id(asked) if asked else {}
        for broadcast in asked:
            facts.cancelled[broadcast] = broadcast in found and found[broadcast].status == "cancelled"


def _want(sends: _Sends, item: Accepted) -> None:
    key = setting_key(item.tenant, item.request, item.route)
    wanted = sends.get(key)
    if wanted is None:
        wanted = sends[key] = _Wanted()
    for to in item.request.to:
        if to.user_id:
            wanted.user_ids.add(to.user_id)
        else:
            wanted.inline.append(to)


def _wanted(sends: _Sends, key: SendKey) -> None:
    setting, user_ids, addresses = key
    wanted = sends.setdefault(setting, _Wanted())
    wanted.user_ids.update(user_ids)
    wanted.addresses.update(addresses)


def _people(facts: SendFacts, key: SettingKey, wanted: _Wanted) -> list[User]:
    known = facts.users[key[0]]
    return [user for name in wanted.user_ids if (user := known.get(name)) is not None]


def _addresses(
    facts: SendFacts, sends: _Sends, people: Mapping[SettingKey, Sequence[User]]
) -> dict[str, set[tuple[Channel, str]]]:
    """Return the addresses to look up, of tenants that have suppressions."""
    found: dict[str, set[tuple[Channel, str]]] = {}
    for key, users in people.items():
        tenant, *_ = key
        if facts.suppressions[tenant] is None:
            continue
        setting, places = facts.settings[key], found.setdefault(tenant, set())
        verdicts = facts.gates[id(setting)]
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


def _blocks(facts: SendFacts, people: Mapping[SettingKey, Sequence[User]]) -> dict[tuple[str, bytes], set[int]]:
    """Return the blocks of everyone who may be under a cap."""
    found: dict[tuple[str, bytes], set[int]] = {}
    for key, users in people.items():
        caps = facts.settings[key].caps
        if caps:
            numbers = {user.ordinal // CAP_BLOCK_USERS for user in users if user.ordinal}
            for cap in caps:
                found.setdefault((key[0], cap.rule), set()).update(numbers)
    return found
