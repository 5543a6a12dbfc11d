"""Reads the definitions that settings are made of."""

from collections.abc import Sequence

from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.workflow import Workflow
from clarion.plan.rules.setting import Setting
from clarion.plan.settings import Definitions, SettingKey, category_of, channels_for, digest_of, setting_of
from clarion.ports.directory import Defined, Directory


async def read_settings(directory: Directory, keys: Sequence[SettingKey]) -> dict[SettingKey, Setting]:
    """Return settings as their definitions are now."""
    return _read(directory, keys)


def read_setting(directory: Directory, key: SettingKey) -> Setting:
    """Return one setting."""
    return _read(directory, (key,))[key]


def _read(directory: Directory, keys: Sequence[SettingKey]) -> dict[SettingKey, Setting]:
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
