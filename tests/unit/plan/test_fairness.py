"""Whose turn it is: tenants with unequal work share one planner."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from clarion.plan.rules.fairness import DeficitRoundRobin

QUANTUM = 100
COST_MAX = 350


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(1, COST_MAX)), min_size=40, max_size=160))
def test_tenants_with_work_are_served_alike(arrivals):
    """Between any two tenants that always have work, the service differs by a constant, whatever other tenants do."""
    turns = DeficitRoundRobin(QUANTUM)
    served = Counter({"x": 0, "y": 0})
    for other, cost in arrivals:
        active = {"x", "y", other} - {""}
        turns.sync(active)
        tenant = turns.next(active)
        paid = COST_MAX if tenant == "x" else cost
        turns.pay(tenant, paid)
        served[tenant] += paid
        assert abs(served["x"] - served["y"]) <= 2 * QUANTUM + COST_MAX


def test_an_idle_tenant_saves_no_credit():
    turns = DeficitRoundRobin(QUANTUM)
    for _ in range(50):
        turns.sync({"busy"})
        turns.pay(turns.next({"busy"}), 10)
    turns.sync({"busy", "late"})
    seen = []
    for _ in range(20):
        seen.append(turns.next({"busy", "late"}))
        turns.pay(seen[-1], QUANTUM)
    assert abs(seen.count("busy") - seen.count("late")) <= 1
    turns.sync(())
    assert turns.next({"busy"}) is None


def test_a_tenant_held_back_keeps_place_and_credit_and_delays_nobody():
    turns = DeficitRoundRobin(QUANTUM)
    turns.sync({"held", "free"})
    for _ in range(10):
        assert turns.next({"free"}) == "free"
        turns.pay("free", QUANTUM)
    assert turns.next(()) is None
    seen = []
    for _ in range(20):
        seen.append(turns.next({"held", "free"}))
        turns.pay(seen[-1], QUANTUM)
    assert abs(seen.count("held") - seen.count("free")) <= 2
