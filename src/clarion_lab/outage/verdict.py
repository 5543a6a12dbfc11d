"""The verdict on the case `outage`: a push vendor is down for a while, and no delivery may be lost or sent twice, and
none that is unrelated may be delayed. Pure: it gets the requests, the messages that arrived at the vendors, and the
product's account."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

RECOVERED_SHARE_MIN: Final = 0.94
AMPLIFICATION_MAX: Final = 1.2
SPIKE_MAX: Final = 1.5
RECOVERY_S: Final = 15 * 60.0
PROMPT_S: Final = 5.0
"""Seconds after which a delivery counts as delayed."""
WINDOW_S: Final = 10.0
AGAIN_S: Final = 1.0
"""Seconds after the first response about a dead token by which further calls to it are a fault."""
EXAMPLES_MAX: Final = 5
TAKEN: Final = frozenset({"sent", "delivered"})
WAITING: Final = frozenset({"planned", "sending", "retrying", "ambiguous", "held"})


class AcceptedNotification(msgspec.Struct, frozen=True):
    """An accepted notification. `address` is its token, `dead` whether the token is dead; `kind` is `order`
    (push, then SMS), `promotion` (push alone) or `text` (SMS alone)."""

    notification: str
    tenant: str
    kind: str
    at_s: float
    address: str
    dead: bool


class VendorRequest(msgspec.Struct, frozen=True):
    """A message that reached a vendor, and the status of the response; `taken` is whether the vendor has it now."""

    at_s: float
    channel: str
    notification: str
    address: str
    status: int
    taken: bool


class StoredOutcome(msgspec.Struct, frozen=True):
    """The product's account of a delivery at the end. `unsure` are attempts that may have been made without its
    knowledge."""

    notification: str
    channel: str
    state: str
    reason: str
    unsure: int


class Plan(msgspec.Struct, frozen=True):
    """The roles of the tenants, and the time (seconds from the beginning) when the vendor is down."""

    hit: str
    misconfigured: str
    from_s: float
    to_s: float


class Evidence(msgspec.Struct, frozen=True):
    """All evidence of a verdict. `suppressed` are the suppressed tokens of all tenants."""

    plan: Plan
    asked: Sequence[AcceptedNotification]
    called: Sequence[VendorRequest]
    stored: Sequence[StoredOutcome]
    suppressed: Sequence[str]


class Verdict(msgspec.Struct, frozen=True):
    """The figures of a run, the faults by name with a few examples, and figures that explain."""

    lost: int
    recovered_share: float
    amplification: float
    spike: float
    collateral: int
    suppressed: int
    faults: dict[str, list[str]]
    notes: dict[str, float]
    trace: str

    @property
    def passed(self) -> bool:
        """Return whether there is no fault."""
        return not self.faults

    def figures(self) -> dict[str, float]:
        """Return the figures for the last line of a run."""
        names = ("lost", "recovered_share", "amplification", "spike", "collateral", "suppressed")
        return {name: getattr(self, name) for name in names}


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict on the evidence."""
    return _Judge(evidence).verdict()


class _Judge:
    def __init__(self, evidence: Evidence) -> None:
        self._e = evidence
        self._plan = evidence.plan
        self._owner = {one.notification: one.tenant for one in evidence.asked}
        self._pushes = [
            call for call in evidence.called if call.channel == "push" and self._is_of(call, self._plan.hit)
        ]
        self._first_taken: dict[str, float] = {}
        self._took: Counter[tuple[str, str]] = Counter()
        for call in evidence.called:
            if call.taken:
                self._first_taken.setdefault(call.notification, call.at_s)
                self._took[call.notification, call.channel] += 1
        self._stored: defaultdict[str, list[StoredOutcome]] = defaultdict(list)
        for stored in evidence.stored:
            self._stored[stored.notification].append(stored)

    def verdict(self) -> Verdict:
        lost = [one.notification for one in self._e.asked if self._is_lost(one)]
        affected = [one for one in self._e.asked if self._is_affected(one)]
        recovered = sum(self._taken_by(one, self._plan.to_s + RECOVERY_S) for one in affected)
        share = recovered / len(affected) if affected else 1.0
        amplification, spike = self._amplification(), self._spike()
        collateral = [one.notification for one in self._e.asked if self._is_collateral(one)]
        hit_tokens = {call.address for call in self._e.called if _is_dead(call)}
        faults = {
            "lost": lost,
            "sent_twice": list(self._twice()),
            "sent_unknown": list(self._unknown()),
            "claimed_falsely": list(self._false()),
            "collateral": collateral,
            "not_suppressed": sorted(hit_tokens - set(self._e.suppressed)),
            "suppressed_wrongly": sorted(set(self._e.suppressed) - hit_tokens),
            "suppressed_twice": [token for token, times in Counter(self._e.suppressed).items() if times > 1],
            "dead_token_called_again": sorted(self._again()),
            "recovered_share": [f"{share:.3f}"] if share < RECOVERED_SHARE_MIN else [],
            "amplification": [f"{amplification:.3f}"] if amplification > AMPLIFICATION_MAX else [],
            "spike": [f"{spike:.3f}"] if spike > SPIKE_MAX else [],
        }
        notes = self._notes(affected) | {"dead_tokens_hit": len(hit_tokens), "affected": len(affected)}
        return Verdict(
            len(lost),
            round(share, 4),
            round(amplification, 4),
            round(spike, 4),
            len(collateral),
            len(set(self._e.suppressed)),
            {name: [str(len(found)), *found[:EXAMPLES_MAX]] for name, found in faults.items() if found},
            notes,
            trace(self._e.called),
        )

    def _is_lost(self, one: AcceptedNotification) -> bool:
        """Return whether a delivery is neither taken, nor failed for its token, nor waiting for a recorded reason."""
        if one.notification in self._first_taken:
            return False
        stored = self._stored[one.notification]
        if one.dead and any(t.reason in ("invalid_recipient", "suppressed") for t in stored):
            return False
        return not any(t.state in WAITING and t.reason != "none" for t in stored)

    def _is_affected(self, one: AcceptedNotification) -> bool:
        plan = self._plan
        hit = one.tenant == plan.hit and not one.dead and plan.from_s - PROMPT_S <= one.at_s < plan.to_s
        return hit and not self._taken_by(one, one.at_s + PROMPT_S)

    def _taken_by(self, one: AcceptedNotification, at_s: float) -> bool:
        return self._first_taken.get(one.notification, float("inf")) <= at_s

    def _is_collateral(self, one: AcceptedNotification) -> bool:
        """Return whether a delivery that is unrelated to outage and misconfiguration was late or refused."""
        if one.dead or one.tenant == self._plan.hit:
            return False
        if one.tenant == self._plan.misconfigured and one.kind != "text":
            return False
        return not self._taken_by(one, one.at_s + PROMPT_S)

    def _is_of(self, call: VendorRequest, tenant: str) -> bool:
        return self._owner.get(call.notification) == tenant

    def _twice(self) -> Iterable[str]:
        """Yield the messages that arrived more often than the product's unsure attempts allow."""
        arrived: Counter[str] = Counter()
        for (notification, _), times in self._took.items():
            arrived[notification] += times
        for notification, times in arrived.items():
            if times > 1 + sum(t.unsure for t in self._stored[notification]):
                yield notification

    def _unknown(self) -> Iterable[str]:
        """Yield the messages that arrived though the product reports that they did not: silent sends."""
        states = {(t.notification, t.channel): t.state for stored in self._stored.values() for t in stored}
        return (notification for (notification, channel) in self._took
                if states.get((notification, channel)) not in TAKEN)  # fmt: skip

    def _false(self) -> Iterable[str]:
        """Yield the deliveries that the product reports as sent though they never arrived: silent losses."""
        return (t.notification for stored in self._stored.values() for t in stored
                if t.state in TAKEN and not self._took[t.notification, t.channel])  # fmt: skip

    def _again(self) -> set[str]:
        first: dict[str, float] = {}
        again = set()
        for call in self._e.called:
            if _is_dead(call) and call.at_s - first.setdefault(call.address, call.at_s) > AGAIN_S:
                again.add(call.address)
        return again

    def _amplification(self) -> float:
        """Return calls per fresh delivery: of all, or of the tenant that was hit at the vendor that was down."""
        pushed = sum(one.tenant == self._plan.hit and one.kind != "text" for one in self._e.asked)
        return max(len(self._e.called) / max(len(self._e.asked), 1), len(self._pushes) / max(pushed, 1))

    def _spike(self) -> float:
        """Return the most calls of any ten seconds after recovery, over the fresh rate before the outage."""
        plan = self._plan
        fresh = sum(one.tenant == plan.hit and one.kind != "text" and one.at_s < plan.from_s for one in self._e.asked)
        times = [call.at_s for call in self._pushes if call.at_s >= plan.to_s]
        most, begin = 0, 0
        for end, at_s in enumerate(times):
            while times[begin] <= at_s - WINDOW_S:
                begin += 1
            most = max(most, end - begin + 1)
        return most / WINDOW_S / (fresh / plan.from_s) if fresh else 0.0

    def _notes(self, affected: Sequence[AcceptedNotification]) -> dict[str, float]:
        plan = self._plan
        waits = sorted(self._first_taken.get(one.notification, float("inf")) - plan.to_s for one in affected)
        during = sum(plan.from_s <= call.at_s < plan.to_s for call in self._pushes)
        last_s = waits[int(len(waits) * RECOVERED_SHARE_MIN)] if waits else 0.0
        reasons = Counter(t.reason for stored in self._stored.values() for t in stored if t.state in WAITING)
        return {
            "asked": len(self._e.asked),
            "calls": len(self._e.called),
            "calls_while_down": during,
            "share_reached_after_s": round(last_s, 1),
            "by_sms_while_down": sum(
                call.channel == "sms" and self._is_of(call, plan.hit) and plan.from_s <= call.at_s < plan.to_s
                for call in self._e.called
            ),
            "calls_of_misconfigured": sum(
                call.channel == "push" and self._is_of(call, plan.misconfigured) for call in self._e.called
            ),
            **{f"waiting_{reason}": times for reason, times in sorted(reasons.items())},
        }


def _is_dead(call: VendorRequest) -> bool:
    return call.channel == "push" and call.status == 404


def trace(called: Iterable[VendorRequest]) -> str:
    """Return a digest of all messages that arrived, in order: the same for two runs of a seed."""
    digest = blake2b(digest_size=8)
    for call in called:
        digest.update(msgspec.msgpack.encode(call))
    return digest.hexdigest()


def fault_lines(faults: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line per fault: its name, its count, and examples."""
    return [f"{name}: {found[0]}, such as {', '.join(found[1:])}" for name, found in faults.items()]
