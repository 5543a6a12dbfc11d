"""Reads the definitions that settings are made of."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from clarion.domain.limits import GATES_MAX, SETTINGS_MAX
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.workflow import Workflow
from clarion.plan.rules.group import Gate, gate
from clarion.plan.rules.setting import Setting
from clarion.plan.settings import Definitions, SettingKey, category_of, channels_for, digest_of, setting_of
from clarion.ports.directory import DefinitionKey, Directory
from clarion.ports.metering import together


async def read_settings(directory: Directory, keys: Sequence[SettingKey]) -> dict[SettingKey, Setting]:
    """Return settings as their definitions are now, read in three round trips."""
    tenants = {tenant for tenant, *_ in keys}
    workflows = {key: _workflow(key[0], key[5], key[6]) for key in keys if key[5]}
    policies = {tenant: _policy(tenant) for tenant in tenants}
    templates, defined, defaults = await together(
        directory.templates({key[:2] for key in keys if key[1]}),
        directory.definitions({*workflows.values(), *policies.values()}),
        directory.defaults(tenants),
    )
    named = {key: (key[0], category_of(key, templates.get(key[:2]))) for key in keys}
    categories = await directory.categories({name for name in named.values() if name[1]})
    channels = {key: channels_for(key, templates.get(key[:2]), categories.get(named[key])) for key in keys}
    summed_up = {key: digest_of(key, categories.get(named[key])) for key in keys}
    digests = {key: _workflow(key[0], name, None) for key, name in summed_up.items() if name}
    accounts = await directory.accounts({(key[0], channel) for key in keys for channel in channels[key]})
    if digests:
        defined |= await directory.definitions(set(digests.values()))
    settings: dict[SettingKey, Setting] = {}
    for key in keys:
        tenant, *_ = key
        policy = defined.get(policies[tenant])
        workflow = defined.get(workflows[key]) if key in workflows else None
        found = Definitions(
            template=templates.get(key[:2]),
            category=categories.get(named[key]),
            policy=policy.body if policy else None,
            accounts={channel: [one.name for one in accounts[tenant, channel]] for channel in channels[key]},
            defaults=defaults[tenant],
            workflow=workflow.body if workflow else None,
            digest=defined.get(digests[key]) if key in digests else None,
        )
        settings[key] = setting_of(key, found)
    return settings


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
