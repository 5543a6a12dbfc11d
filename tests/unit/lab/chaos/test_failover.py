from pathlib import Path

from clarion_lab.chaos.case import RunResult
from clarion_lab.chaos.failover import PAUSE_S_MAX, FailoverVerdict, longest_gap_s, pauses_s
from clarion_lab.chaos.ledger import AnswerLine, Ledger, add_up
from clarion_lab.chaos.oracle import Evidence, judge
from clarion_lab.chaos.rows import Stores

NOTHING = judge(Evidence([], [], [], {}, []))


def test_the_longest_time_between_neighbours_counts() -> None:
    assert longest_gap_s([]) == longest_gap_s([7]) == 0
    assert longest_gap_s([9_000, 1_000, 2_500]) == 6.5


def test_a_pause_is_without_acknowledgements_or_without_messages(tmp_path: Path) -> None:
    ledger_file, receipts_file = tmp_path / "ledger", tmp_path / "receipts"
    ledger = Ledger(ledger_file)
    for at_ms, result in ((1_000, "ok"), (2_000, "unknown"), (4_500, "ok"), (5_000, "ok")):
        ledger.write(AnswerLine("k", result, [], at_ms))
    ledger.close()
    arrivals = (1_100, 2_200, 4_900, 60_000)
    receipts_file.write_text(
        "".join(f'{{"key":"dlv_00","channel":"push","at_ms":{at},"taken":true}}\n' for at in arrivals)
    )
    nothing = Stores(lambda query: iter(()), lambda query: iter(()))
    outcome = RunResult(add_up(iter(())), ledger_file, receipts_file, nothing)
    assert pauses_s(outcome) == (3.5, 2.7)


def test_a_long_pause_fails_a_run_that_lost_nothing() -> None:
    assert FailoverVerdict(NOTHING, 3.0, PAUSE_S_MAX).passed
    late = FailoverVerdict(NOTHING, PAUSE_S_MAX + 0.1, 2.0)
    assert not late.passed
    assert late.figures()["pause_s"] == late.figures()["accept_pause_s"] == PAUSE_S_MAX + 0.1
    assert set(late.examples) == {"pause_s", "accept_pause_s"}
