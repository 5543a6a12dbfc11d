"""What everyone of a profile shares, as chunks keep it: worked out once a profile and kept while it holds."""

from collections.abc import Mapping
from typing import Final

from clarion.domain.channel import Channel
from clarion.domain.decision import Decision, Hold, Reason
from clarion.plan.gather_facts import StoredFacts
from clarion.plan.rules.chunks import Code, code_of
from clarion.plan.rules.decide import in_time
from clarion.plan.rules.group import FOREVER_MS, Gate
from clarion.plan.rules.setting import Setting

_KEPT_MAX: Final = 64
"""Settings whose codes are kept."""


class ProfileCodes:
    """Codes of profiles by channel, for the settings of broadcasts under way in one process."""

    def __init__(self, facts: StoredFacts) -> None:
        self._facts = facts
        self._kept: dict[int, _Known] = {}

    def of(self, setting: Setting, profiles: set[int], now_ms: int) -> Mapping[Channel, Mapping[int, Code]]:
        """Return per channel the code of (at least) these profiles at a time (Unix ms)."""
        known = self._kept.get(id(setting))
        if known is None or known.setting is not setting or now_ms >= known.valid_until_ms:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            known = self._kept[id(setting)] = _Known(setting)
        missing = profiles - known.profiles
        if missing:
            known.add(self._facts.gates(setting, missing, now_ms), now_ms)
        return known.codes


class _Known:
    """The codes of one setting, all of which hold before `valid_until_ms`."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.profiles: set[int] = set()
        self.codes: dict[Channel, dict[int, Code]] = {channel: {} for channel in setting.channels}
        self.valid_until_ms = FOREVER_MS

    def add(self, gates: Mapping[int, Gate], now_ms: int) -> None:
        """Take in more profiles."""
        self.profiles.update(gates)
        self.valid_until_ms = min([self.valid_until_ms, *(gate.valid_until_ms for gate in gates.values())])
        for channel, codes in self.codes.items():
            codes.update(codes_of(self.setting, gates, channel, now_ms))


def codes_of(setting: Setting, gates: Mapping[int, Gate], channel: Channel, now_ms: int) -> dict[int, Code]:
    """Return the code of each profile on a channel."""
    return {profile: code_of(_decision(setting, gate, channel, now_ms), channel) for profile, gate in gates.items()}


def _decision(setting: Setting, gate: Gate, channel: Channel, now_ms: int) -> Decision | None:
    verdict = gate.verdicts[channel]
    if isinstance(verdict, Hold) and verdict.reason is not Reason.LOCAL_TIME:
        return in_time(setting, verdict, now_ms)
    return verdict
