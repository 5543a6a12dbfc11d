"""Codes of profiles, computed once per profile and cached while they are valid."""

from collections.abc import Mapping
from typing import Final

from clarion.domain.channel import Channel
from clarion.plan.broadcast.codes import codes_of
from clarion.plan.gather_request_facts import RequestFactsCache
from clarion.plan.request_facts import RequestFactsKey
from clarion.plan.rules.chunks import Code
from clarion.plan.rules.profile_rules import FOREVER_MS, Gate
from clarion.plan.rules.request_facts import RequestFacts

_KEPT_MAX: Final = 64
"""Most request facts whose codes are cached."""


class ProfileCodes:
    """Codes of profiles by channel, for the request facts of running broadcasts in one process."""

    def __init__(self, known: RequestFactsCache) -> None:
        self._verdicts = known
        self._kept: dict[int, _Known] = {}

    async def gather(
        self, key: RequestFactsKey, request_facts: RequestFacts, profiles: set[int], now_ms: int
    ) -> Mapping[Channel, Mapping[int, Code]]:
        """Return, by channel, the codes of (at least) these profiles at a time (Unix ms)."""
        known = self._kept.get(id(request_facts))
        if known is None or known.setting is not request_facts or now_ms >= known.valid_until_ms:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            known = self._kept[id(request_facts)] = _Known(request_facts)
        missing = profiles - known.profiles
        if missing:
            known.add(await self._verdicts.gates_of(key, request_facts, missing, now_ms), now_ms)
        return known.codes


class _Known:
    """The codes for one request's facts, all of which are valid before `valid_until_ms`."""

    def __init__(self, request_facts: RequestFacts) -> None:
        self.setting = request_facts
        self.profiles: set[int] = set()
        self.codes: dict[Channel, dict[int, Code]] = {channel: {} for channel in request_facts.channels}
        self.valid_until_ms = FOREVER_MS

    def add(self, gates: Mapping[int, Gate], now_ms: int) -> None:
        """Add the codes of more profiles."""
        self.profiles.update(gates)
        self.valid_until_ms = min([self.valid_until_ms, *(gate.valid_until_ms for gate in gates.values())])
        for channel, codes in self.codes.items():
            codes.update(codes_of(self.setting, gates, channel, now_ms))
