"""The facts planning needs about settings, profiles, recipients and suppressions, read in few queries."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.limits import GATES_MAX, RECIPIENTS_MAX, SETTINGS_MAX
from clarion.domain.route import Route
from clarion.domain.user import Profile, User
from clarion.journal.events import Recipient, Request
from clarion.plan.columns import Accepted
from clarion.plan.facts import inline
from clarion.plan.gather_settings import read_setting
from clarion.plan.rules.decide import wanted_addresses
from clarion.plan.rules.group import Gate, gate
from clarion.plan.rules.setting import Setting
from clarion.plan.settings import SettingKey, setting_key
from clarion.ports.directory import Directory

_NOBODY: Final = 0
"""Profile id of inline recipients: no preferences of their own."""

People: TypeAlias = list[list[User | Recipient]]
"""The recipients of each notification; a user that is gone stays a `Recipient`."""
Suppressed: TypeAlias = dict[str, dict[tuple[str, str], str]]
"""Tenant to (channel, address) to why it is suppressed."""


class StoredFacts:
    """Settings of requests, verdicts per profile, recipients and suppressions, for one process."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revision = -1
        self._settings: dict[SettingKey, Setting] = {}
        self._gates: dict[tuple[int, int], Gate] = {}

    def refresh(self) -> None:
        """Forget settings and verdicts if any definition changed; called once a batch or page."""
        revision = self._directory.revision()
        if revision != self._revision:
            self._revision = revision
            self._forget()

    def setting(self, tenant: str, request: Request, route: Route | None = None) -> Setting:
        """Return what all recipients of a request share; the same object until `refresh` finds a change."""
        key = setting_key(tenant, request, route)
        setting = self._settings.get(key)
        if setting is None:
            if len(self._settings) >= SETTINGS_MAX:
                self._forget()
            setting = self._settings[key] = read_setting(self._directory, key)
        return setting

    def gate(self, setting: Setting, profile_id: int, zone: str, now_ms: int) -> Gate:
        """Return what everyone of a profile shares at a time (Unix ms); `zone` counts for inline recipients only."""
        if profile_id == _NOBODY:
            return gate(setting, Profile(_NOBODY, zone, {}), now_ms)
        known = self._gates.get((id(setting), profile_id))
        if known is not None and now_ms < known.valid_until_ms:
            return known
        return self.gates(setting, (profile_id,), now_ms)[profile_id]

    def gates(self, setting: Setting, profile_ids: Iterable[int], now_ms: int) -> dict[int, Gate]:
        """Return what everyone of each profile shares; unknown profiles are read in one query."""
        verdicts: dict[int, Gate] = {}
        missing: list[int] = []
        for profile_id in profile_ids:
            known = self._gates.get((id(setting), profile_id))
            if known is None or now_ms >= known.valid_until_ms:
                missing.append(profile_id)
            else:
                verdicts[profile_id] = known
        if missing:
            if len(self._gates) >= GATES_MAX:
                self._gates.clear()
            for profile_id, profile in self._directory.profiles(missing).items():
                verdicts[profile_id] = self._gates[id(setting), profile_id] = gate(setting, profile, now_ms)
        return verdicts

    def load_gates(self, settings: Sequence[Setting], people: People, now_ms: int) -> None:
        """Have the verdicts of everyone's profiles at hand, profiles read together."""
        wanted: dict[int, tuple[Setting, set[int]]] = {}
        for setting, recipients in zip(settings, people, strict=True):
            known = wanted.get(id(setting))
            if known is None:
                known = wanted[id(setting)] = (setting, set())
            known[1].update([user.profile_id for user in recipients if isinstance(user, User) and user.profile_id])
        for setting, profiles in wanted.values():
            self.gates(setting, profiles, now_ms)

    def profile(self, user: User) -> Profile:
        """Return a recipient's profile."""
        if user.profile_id == _NOBODY:
            return Profile(_NOBODY, user.zone, {})
        return self._directory.profiles((user.profile_id,))[user.profile_id]

    def recipients(self, batch: Sequence[Accepted]) -> People:
        """Return the recipients of each notification, users read tenant by tenant."""
        wanted: dict[str, set[str]] = {}
        for item in batch:
            wanted.setdefault(item.tenant, set()).update([to.user_id for to in item.request.to if to.user_id])
        known: dict[str, dict[str, User]] = {}
        for tenant, names in wanted.items():
            listed = sorted(names)  # neighbours in the store are read together
            users = known[tenant] = {}
            for start in range(0, len(listed), RECIPIENTS_MAX):
                users.update(self._directory.users(tenant, listed[start : start + RECIPIENTS_MAX]))
        return [
            [known[item.tenant].get(to.user_id, to) if to.user_id else inline(to) for to in item.request.to]
            for item in batch
        ]

    def suppressed(self, batch: Sequence[Accepted], people: People, now_ms: int) -> Suppressed:
        """Return which of the addresses these notifications would go to are suppressed."""
        found: Suppressed = {}
        for tenant in {item.tenant for item in batch}:
            if not any(self._directory.has_suppressions(tenant, channel) for channel in CHANNELS):
                continue
            wanted = self._addresses(tenant, batch, people, now_ms)
            found[tenant] = {
                (channel, address): why
                for channel, addresses in wanted.items()
                for address, why in self._directory.suppressed(tenant, channel, addresses).items()
            }
        return found

    def _addresses(
        self, tenant: str, batch: Sequence[Accepted], people: People, now_ms: int
    ) -> dict[Channel, list[str]]:
        wanted: dict[Channel, list[str]] = {}
        for item, recipients in zip(batch, people, strict=True):
            if item.tenant != tenant:
                continue
            setting = self.setting(tenant, item.request, item.route)
            users = [user for user in recipients if isinstance(user, User)]
            gates = [self.gate(setting, user.profile_id, user.zone, now_ms) for user in users]
            for channel, addresses in wanted_addresses(users, gates).items():
                wanted.setdefault(channel, []).extend(addresses)
        return wanted

    def _forget(self) -> None:
        # Together: verdicts are kept by the identity of their setting.
        self._settings.clear()
        self._gates.clear()
