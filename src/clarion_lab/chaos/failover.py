"""The case `failover`: the primary of a PostgreSQL pair dies under load, and its synchronous standby takes over. Nothing is
lost, and the pause is short."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from clarion_lab.chaos import ledger
from clarion_lab.chaos.case import RunResult, Verdict
from clarion_lab.chaos.kill9 import Kill9
from clarion_lab.chaos.observe import Observed
from clarion_lab.chaos.oracle import Evidence
from clarion_lab.load import receipts

PAUSE_S_MAX: Final = 15.0
"""The longest time without an acknowledged request, or without a message at the provider, in a run that passes."""


class Failover(Kill9):
    """The load of `kill9`, with no victims among the processes."""

    victims: Mapping[str, int] = {}

    def judge(self, evidence: Evidence, observed: Observed, outcome: RunResult) -> Verdict:
        """Return the verdict on the deliveries and on the pause."""
        return FailoverVerdict(super().judge(evidence, observed, outcome), *pauses_s(outcome))


class FailoverVerdict:
    """The verdict on deliveries, with the longest pauses in seconds: between acknowledged requests, and between messages."""

    def __init__(self, deliveries: Verdict, accept_s: float, deliver_s: float) -> None:
        self._deliveries = deliveries
        self._pauses_s = {"pause_s": max(accept_s, deliver_s), "accept_pause_s": accept_s, "deliver_pause_s": deliver_s}

    @property
    def passed(self) -> bool:
        """Return whether there is no fault, and no pause beyond `PAUSE_S_MAX`."""
        return self._deliveries.passed and self._pauses_s["pause_s"] <= PAUSE_S_MAX

    @property
    def examples(self) -> Mapping[str, list[str]]:
        """Return examples of faults."""
        late = {name: [f"{value} s"] for name, value in self._pauses_s.items() if value > PAUSE_S_MAX}
        return {**self._deliveries.examples, **late}

    def figures(self) -> dict[str, float]:
        """Return the figures of the last line."""
        return {**self._deliveries.figures(), **self._pauses_s}


def pauses_s(outcome: RunResult) -> tuple[float, float]:
    """Return the longest time between two acknowledgements, and between two messages at the provider until the last
    acknowledgement."""
    lines = ledger.read(outcome.ledger_file)
    acks = [line.at_ms for line in lines if isinstance(line, ledger.AnswerLine) and line.result == "ok"]
    arrivals = [one.at_ms for one in receipts.read(outcome.receipts_file) if one.at_ms <= max(acks, default=0)]
    return longest_gap_s(acks), longest_gap_s(arrivals)


def longest_gap_s(at_ms: Iterable[int]) -> float:
    """Return the longest time in seconds between neighbours."""
    return max((later - earlier for earlier, later in pairwise(sorted(at_ms))), default=0) / 1000
