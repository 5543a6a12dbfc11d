"""Codes of profiles, worked out once a profile and kept while they hold."""

from collections.abc import Mapping
from typing import Final

from clarion.domain.channel import Channel
from clarion.plan.broadcast.codes import codes_of
from clarion.plan.gather_settings import KnownSettings
from clarion.plan.rules.chunks import Code
from clarion.plan.rules.group import FOREVER_MS, Gate
from clarion.plan.rules.setting import Setting

_KEPT_MAX: Final = 64
"""Settings whose codes are kept."""


class ProfileCodes:
    """Codes of profiles by channel, for the settings of broadcasts under way in one process."""

    def __init__(self, known: KnownSettings) -> None:
        self._verdicts = known
        self._kept: dict[int, _Known] = {}

    async def gather(self, setting: Setting, profiles: set[int], now_ms: int) -> Mapping[Channel, Mapping[int, Code]]:
        """Return per channel the code of (at least) these profiles at a time (Unix ms)."""
        known = self._kept.get(id(setting))
        if known is None or known.setting is not setting or now_ms >= known.valid_until_ms:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            known = self._kept[id(setting)] = _Known(setting)
        missing = profiles - known.profiles
        if missing:
            known.add(await self._verdicts.gates_of(setting, missing, now_ms), now_ms)
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
