"""Figures of a run that are exactly at their bounds."""

from clarion_lab.edge.verdict import AttackFigures, Figures, Landed

ATTACK = AttackFigures("flood", Landed(5, 5), {"401": 9}, 0.5, 0.4, 50.0, 100.0, 20.0, 10.0, 30.0, 0, 0)
KEPT = Figures(
    attacks=[ATTACK] * 14,
    honest=3_000,
    connections=2_000,
    connections_answered=2_000,
    lost=0,
    restarts=0,
    rss_mb=(100.0, 150.0, 140.0),
    uss_mb=(30.0, 80.0),
    loop_lag_by="turn",
    p99_ms=20.0,
    calm_p99_ms=10.0,
    probe_p99_ms=5.0,
    honest_errors=0,
    health_failures=0,
)
