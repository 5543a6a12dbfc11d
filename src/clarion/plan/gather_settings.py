"""Reads the definitions that settings are made of."""

from collections.abc import Iterable, Sequence

from clarion.domain.limits import GATES_MAX, SETTINGS_MAX
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.workflow import Workflow
from clarion.plan.rules.group import Gate, gate
from clarion.plan.rules.setting import Setting
from clarion.plan.settings import Definitions, SettingKey, category_of, channels_for, digest_of, setting_of
from clarion.ports.directory import Defined, Directory


async def read_settings(directory: Directory, keys: Sequence[SettingKey]) -> dict[SettingKey, Setting]:
    """Return settings as their definitions are now."""
    tenants = {tenant for tenant, *_ in keys}
    templates = {key: directory.template(key[0], key[1]) for key in keys}
    categories = {key: directory.category(key[0], category_of(key, templates[key])) for key in keys}
    policies = {tenant: directory.definition(tenant, Policy, POLICY_KEY) for tenant in tenants}
    defaults = {tenant: directory.defaults(tenant) for tenant in tenants}
    channels = {key: channels_for(key, templates[key], categories[key]) for key in keys}
    served = {(key[0], channel) for key in keys for channel in channels[key]}
    accounts = {
        (tenant, channel): [account.name for account in directory.accounts(tenant, channel)]
        for tenant, channel in served
    }
    workflows = {key: _workflow(directory, key[0], key[5], key[6]) for key in keys}
    digests = {key: _workflow(directory, key[0], digest_of(key, categories[key])) for key in keys}
    settings: dict[SettingKey, Setting] = {}
    for key in keys:
        tenant, *_ = key
        policy, workflow = policies[tenant], workflows[key]
        defined = Definitions(
            template=templates[key],
            category=categories[key],
            policy=policy.body if policy else None,
            accounts={channel: accounts[tenant, channel] for channel in channels[key]},
            defaults=defaults[tenant],
            workflow=workflow.body if workflow else None,
            digest=digests[key],
        )
        settings[key] = setting_of(key, defined)
    return settings


def _workflow(
    directory: Directory, tenant: str, name: str | None, version: int | None = None
) -> Defined[Workflow] | None:
    return directory.definition(tenant, Workflow, name, version) if name else None


class KnownSettings:
    """Settings and verdicts of profiles that one process has read, kept until a definition changes. What was handed out
    stays as it is."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revision = -1
        self.settings: dict[SettingKey, Setting] = {}
        self.gates: dict[tuple[int, int], Gate] = {}
        """By identity of the setting and profile id."""

    async def refresh(self) -> None:
        """Forget settings and verdicts if any definition changed; called once a batch or page."""
        revision = self._directory.revision()
        if revision != self._revision or len(self.settings) >= SETTINGS_MAX:
            # Together: verdicts are kept by the identity of their setting.
            self._revision, self.settings, self.gates = revision, {}, {}
        elif len(self.gates) >= GATES_MAX:
            self.gates = {}

    async def settings_of(self, keys: Sequence[SettingKey]) -> dict[SettingKey, Setting]:
        """Return settings by key (at least these), the same objects until `refresh` finds a change."""
        known = self.settings
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if missing:
            known.update(await read_settings(self._directory, missing))
        return known

    async def gates_of(self, setting: Setting, profile_ids: Iterable[int], now_ms: int) -> dict[int, Gate]:
        """Return what everyone of each profile shares at a time (Unix ms)."""
        known, verdicts = self.gates, dict[int, Gate]()
        missing: list[int] = []
        for profile_id in profile_ids:
            found = known.get((id(setting), profile_id))
            if found is None or now_ms >= found.valid_until_ms:
                missing.append(profile_id)
            else:
                verdicts[profile_id] = found
        if missing:
            for profile_id, profile in self._directory.profiles(missing).items():
                verdicts[profile_id] = known[id(setting), profile_id] = gate(setting, profile, now_ms)
        return verdicts
