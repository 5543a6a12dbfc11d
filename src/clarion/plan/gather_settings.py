"""Reads the definitions that settings are made of."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits import GATES_MAX, SETTINGS_MAX
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.workflow import Workflow
from clarion.plan.gather_each import read_each
from clarion.plan.rules.group import Gate, gate
from clarion.plan.rules.setting import Setting
from clarion.plan.settings import (
    Definitions,
    SettingKey,
    category_of,
    channels_for,
    channels_within,
    digest_of,
    setting_of,
)
from clarion.ports.directory import DefinitionKey, Directory, catch_up
from clarion.ports.metering import together


class SettingRounds:
    """Settings as their definitions are now, read in three rounds of which the last is rarely one; `settings` then makes them.
    Between the rounds nothing else has to wait: whoever has more to read does so side by side with them."""

    def __init__(self, directory: Directory, keys: Sequence[SettingKey]) -> None:
        self._directory = directory
        self._keys = keys
        self._workflows = {key: _workflow(key[0], key[5], key[6]) for key in keys if key[5]}
        self._policies = {tenant: _policy(tenant) for tenant, *_ in keys}
        self._digests: dict[SettingKey, DefinitionKey] = {}

    async def first(self) -> None:
        """Read what requests name, and what counts for all of a tenant."""
        directory = self._directory
        self._templates, self._defined, self._defaults = await together(
            directory.templates({key[:2] for key in self._keys if key[1]}),
            directory.definitions({*self._workflows.values(), *self._policies.values()}),
            directory.defaults(self._policies.keys()),
        )

    async def second(self) -> None:
        """Read categories, and the accounts of all channels that they may lead to."""
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

    def settings(self) -> dict[SettingKey, Setting]:
        """Return what was read, put together."""
        return {key: setting_of(key, self._of(key)) for key in self._keys}

    def _of(self, key: SettingKey) -> Definitions:
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


async def read_settings(directory: Directory, keys: Sequence[SettingKey]) -> dict[SettingKey, Setting]:
    """Return settings as their definitions are now."""
    rounds = SettingRounds(directory, keys)
    await rounds.first()
    await rounds.second()
    await rounds.third()
    return rounds.settings()


class ReadApart:
    """Settings read in rounds, of which one that cannot be read costs only itself."""

    def __init__(self, directory: Directory, keys: Sequence[SettingKey]) -> None:
        self._directory = directory
        self._rounds = SettingRounds(directory, keys)
        self._failed = False
        self.keys = keys

    async def first(self) -> None:
        """Make the first round. Raises `StoreUnavailable`."""
        await self._made(self._rounds.first)

    async def second(self) -> None:
        """Make the second round. Raises `StoreUnavailable`."""
        await self._made(self._rounds.second)

    async def end(self) -> tuple[Mapping[SettingKey, Setting], dict[SettingKey, Exception]]:
        """Make the last round and return settings and, for each that cannot be read, why. Raises `StoreUnavailable`."""
        await self._made(self._rounds.third)
        if not self._failed:
            with suppress(Exception):
                return self._rounds.settings(), {}
        return await read_each(partial(read_settings, self._directory), self.keys)

    async def _made(self, read: Callable[[], Awaitable[None]]) -> None:
        if self._failed:
            return
        try:
            await read()
        except StoreUnavailable:
            raise  # says nothing about the keys
        except Exception:  # noqa: BLE001 - `end` finds out whose fault it is
            self._failed = True


def _workflow(tenant: str, name: str, version: int | None) -> DefinitionKey:
    return tenant, Workflow, name, version


def _policy(tenant: str) -> DefinitionKey:
    return tenant, Policy, POLICY_KEY, None


def keep(known: dict[SettingKey, Setting], found: Mapping[SettingKey, Setting]) -> None:
    """Add settings to those that are known. One that somebody else read meanwhile stays: verdicts are kept by its identity."""
    for key, setting in found.items():
        known.setdefault(key, setting)


class KnownSettings:
    """Settings and verdicts of profiles that one process has read, a tenant's kept until one of its definitions changes. What
    was handed out stays as it is."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revisions: dict[str, int] = {}
        """Of each tenant with settings, as it was before the first of them was read."""
        self._gated = 0
        self.settings: dict[SettingKey, Setting] = {}
        self.gates: dict[int, dict[int, Gate]] = {}
        """By identity of the setting, then by profile id."""

    async def refresh(self, tenants: Iterable[str]) -> None:
        """Forget the settings and verdicts of those of the tenants whose definitions changed; called once a batch or page."""
        await catch_up(self._directory)
        known, revision = self._revisions, self._directory.revision
        if len(known) >= SETTINGS_MAX or len(self.settings) >= SETTINGS_MAX:
            # Together: verdicts are kept by the identity of their setting.
            self._revisions, self.settings, self.gates, self._gated = {}, {}, {}, 0
        elif stale := {tenant for tenant in tenants if tenant in known and known[tenant] != revision(tenant)}:
            self._drop(stale)
        if self._gated >= GATES_MAX:
            self.gates, self._gated = {}, 0

    def begin(self, tenants: Iterable[str]) -> None:
        """Say that settings of tenants will be read: what changes from now on makes these stale."""
        for tenant in tenants:
            if tenant not in self._revisions:
                self._revisions[tenant] = self._directory.revision(tenant)

    def gated(self, verdicts: int) -> None:
        """Say how many verdicts were added."""
        self._gated += verdicts

    async def settings_of(self, keys: Sequence[SettingKey]) -> dict[SettingKey, Setting]:
        """Return settings by key (at least these), the same objects until `refresh` finds a change."""
        known = self.settings
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if missing:
            self.begin(key[0] for key in missing)
            keep(known, await read_settings(self._directory, missing))
        return known

    async def gates_of(self, setting: Setting, profile_ids: Iterable[int], now_ms: int) -> dict[int, Gate]:
        """Return what everyone of each profile shares at a time (Unix ms)."""
        known, verdicts = self.gates.setdefault(id(setting), {}), dict[int, Gate]()
        missing: list[int] = []
        for profile_id in profile_ids:
            found = known.get(profile_id)
            if found is None or now_ms >= found.valid_until_ms:
                missing.append(profile_id)
            else:
                verdicts[profile_id] = found
        if missing:
            self.gated(len(missing))
            for profile_id, profile in (await self._directory.profiles(missing)).items():
                verdicts[profile_id] = known[profile_id] = gate(setting, profile, now_ms)
        return verdicts

    def _drop(self, tenants: Collection[str]) -> None:
        for tenant in tenants:
            del self._revisions[tenant]
        dropped = {id(setting) for key, setting in self.settings.items() if key[0] in tenants}
        self.settings = {key: setting for key, setting in self.settings.items() if key[0] not in tenants}
        self.gates = {name: gates for name, gates in self.gates.items() if name not in dropped}
