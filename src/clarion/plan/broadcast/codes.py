"""What everyone of a profile shares, as chunks keep it."""

from collections.abc import Mapping

from clarion.domain.channel import Channel
from clarion.domain.decision import Decision, Hold, Reason
from clarion.plan.rules.chunks import Code, code_of
from clarion.plan.rules.decide import in_time
from clarion.plan.rules.group import Gate
from clarion.plan.rules.setting import Setting


def codes_of(setting: Setting, gates: Mapping[int, Gate], channel: Channel, now_ms: int) -> dict[int, Code]:
    """Return the code of each profile on a channel."""
    return {profile: code_of(_decision(setting, gate, channel, now_ms), channel) for profile, gate in gates.items()}


def _decision(setting: Setting, gate: Gate, channel: Channel, now_ms: int) -> Decision | None:
    verdict = gate.verdicts[channel]
    if isinstance(verdict, Hold) and verdict.reason is not Reason.LOCAL_TIME:
        return in_time(setting, verdict, now_ms)
    return verdict
