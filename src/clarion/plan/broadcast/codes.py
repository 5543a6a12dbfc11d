"""The decision that all users of a profile share, as the codes that chunks store."""

from collections.abc import Mapping

from clarion.domain.channel import Channel
from clarion.domain.decision import Decision, Hold, Reason
from clarion.plan.rules.chunks import Code, code_of
from clarion.plan.rules.decide import in_time
from clarion.plan.rules.profile_rules import Gate
from clarion.plan.rules.request_facts import RequestFacts


def codes_of(request_facts: RequestFacts, gates: Mapping[int, Gate], channel: Channel, now_ms: int) -> dict[int, Code]:
    """Return the code of each profile on a channel."""
    return {
        profile: code_of(_decision(request_facts, gate, channel, now_ms), channel) for profile, gate in gates.items()
    }


def _decision(request_facts: RequestFacts, gate: Gate, channel: Channel, now_ms: int) -> Decision | None:
    verdict = gate.verdicts[channel]
    if isinstance(verdict, Hold) and verdict.reason is not Reason.LOCAL_TIME:
        return in_time(request_facts, verdict, now_ms)
    return verdict
