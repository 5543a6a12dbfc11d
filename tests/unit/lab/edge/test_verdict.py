"""Each rule of the chaos case `edge` fails on its own figure, and names it."""

import pytest

from clarion_lab.edge import verdict
from clarion_lab.edge.attacks import ATTACKS, PLAIN, named
from clarion_lab.edge.honest import Sample
from clarion_lab.edge.metrics import stretches
from clarion_lab.edge.verdict import Landed
from tests.unit.lab.edge.figures import ATTACK, KEPT

MS = 1_000_000


def with_attack(**changes):
    return KEPT._replace(attacks=[*KEPT.attacks[1:], ATTACK._replace(name="bad", **changes)])


def test_figures_at_their_bounds_keep_every_rule():
    assert verdict.failed_rules(KEPT) == []


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        (KEPT._replace(attacks=[ATTACK] * 13), "attacks is 13, at least 14"),
        (with_attack(landed=Landed(4, 5)), "attacks_landed: bad reached the server 4 times, at least 5"),
        (KEPT._replace(health_failures=1), "health_failures is 1, at most 0"),
        (KEPT._replace(honest_errors=2), "honest_errors is 2, at most 0"),
        (KEPT._replace(connections_answered=1_999), "honest_connections_answered is 1999, at least 2000"),
        (KEPT._replace(lost=1), "lost is 1, at most 0"),
        (KEPT._replace(restarts=1), "api_restarts is 1, at most 0"),
        (with_attack(statuses={"500": 3}), "server_errors is 3, at most 0 permitted (bad)"),
        (KEPT._replace(rss_mb=(100.0, 150.2, 100.0)), "rss_mb_growth is 50.2, at most 50"),
        (with_attack(loop_lag_ms=250.0), "loop_lag_ms_max is 250, at most 100 permitted (bad)"),
        (KEPT._replace(p99_ms=20.2), "honest_p99_ratio is 2.02, at most 2"),
        (KEPT._replace(calm_p99_ms=0.0), "honest_p99_ratio is inf"),
    ],
)
def test_a_broken_rule_is_named_with_its_figure(figures, says):
    (said,) = verdict.failed_rules(figures)
    for runs in ([figures, KEPT], [KEPT, figures]):
        said_of_both = verdict.failed_rules(verdict.combined(runs))
        # Together with another run's, there are enough attacks, and twice as many connections.
        both = said.replace("1999, at least 2000", "3999, at least 4000")
        assert said_of_both == ([] if said.startswith("attacks is") else [both])
    assert said.startswith(says)


def test_the_attacks_that_broke_a_rule_are_named():
    figures = with_attack(p99_ms=99.0)._replace(p99_ms=21.0)
    assert verdict.failed_rules(figures) == ["honest_p99_ratio is 2.1, at most 2 permitted (bad)"]
    assert figures.line()["worst_p99_ratio"] == {"bad": 9.9}


def test_a_run_without_the_load_of_connections_is_judged_without_it():
    assert verdict.failed_rules(KEPT._replace(connections=0, connections_answered=0)) == []


def test_the_line_has_what_landed_and_the_floors():
    line = KEPT.line()
    assert (line["honest"], line["honest_connections"], line["honest_connections_answered"]) == (3_000, 2_000, 2_000)
    assert (line["attacks"], line["attacks_landed"], line["floors"]) == (14, {"flood": 5}, {"flood": 5})


def test_percentiles_count_errors_with_their_latency():
    samples = [Sample(0, number * MS, "", "") for number in range(1, 100)] + [Sample(0, 5_000 * MS, "", "late")]
    assert verdict.p99_ms(samples) == 5_000
    assert verdict.p99_ms(samples[:50]) == 50
    assert verdict.p99_ms([]) == 0
    assert verdict.errors(samples) == ["late"]


def test_a_sample_belongs_to_the_span_in_which_it_was_due():
    samples = [Sample(at, 0, "", "") for at in (9, 10, 19, 20)]
    assert [sample.at_ns for sample in verdict.between(samples, 10, 20)] == [10, 19]


def test_what_the_provider_does_not_have_is_lost():
    kept, gone = "a" * 32, "b" * 32
    assert verdict.lost([f"ntf_{kept}", f"ntf_{gone}"], [kept + "0" * 16]) == [f"ntf_{gone}"]


PAGE = """\
clarion_loop_busy_seconds_bucket{by="turn",le="0.02",process="api"} 5.0
clarion_loop_busy_seconds_bucket{by="turn",le="0.1",process="api"} 7.0
clarion_loop_busy_seconds_bucket{by="turn",le="+Inf",process="api"} 7.0
clarion_loop_busy_seconds_bucket{by="turn",le="5.0",process="worker"} 1.0
"""


def test_the_longest_stretch_is_that_of_the_highest_bucket_that_grew():
    before = stretches(PAGE, "api")
    assert before == {"turn": {0.02: 5, 0.1: 2, float("inf"): 0}}
    assert verdict.lag_ms(before, before) == (0.0, "")
    assert verdict.lag_ms(before, {"turn": {0.02: 9, 0.1: 2}, "accept": {0.05: 1}}) == (50.0, "accept")
    assert verdict.lag_ms({}, before) == (100.0, "turn")


def test_there_are_enough_attacks_without_tls_and_each_has_a_floor():
    plain = [attack for attack in ATTACKS if attack.needs == PLAIN]
    assert len({attack.name for attack in plain}) == len(plain) >= verdict.ATTACKS_MIN
    assert all(attack.floor >= 3 for attack in ATTACKS)
    assert named("health_flood").name == "health_flood"
