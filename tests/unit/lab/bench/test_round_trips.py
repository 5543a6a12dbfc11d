from clarion_lab.bench.round_trips import missed, stages
from clarion_lab.load.delays import Counts, Kind


def counts(role: str, *kinds: Kind, sync: dict[str, dict[str, int]] | None = None) -> Counts:
    return Counts(role, list(kinds), {"plan": {"state.users": 10}}, sync or {})


def test_waits_of_a_kind_count_a_commit_and_kinds_that_a_frame_passes_add_up() -> None:
    found = stages([], [counts("worker-0", Kind("deliver", "read", 0, 30, 10), Kind("deliver", "record", 0, 20, 20))])
    assert found["deliver"].round_trips == 3 + 1
    assert found["deliver"].commits == 20


def test_a_request_counts_its_own_waits_and_the_shared_commit() -> None:
    found = stages([], [counts("api", Kind("accept", "request", 100, 200, 0), Kind("accept", "flush", 5, 5, 5))])
    assert found["accept"].round_trips == 2 + 1


def test_only_counts_between_two_readings_count() -> None:
    before = [counts("worker-0", Kind("plan", "run", 0, 100, 10))]
    found = stages(before, [counts("worker-0", Kind("plan", "run", 0, 108, 12)), counts("worker-1")])
    assert found["plan"].round_trips == 4
    assert found["plan"].calls == 10 / 2


def test_other_stages_of_the_api_process_are_not_those_of_the_workers() -> None:
    assert stages([], [counts("api", Kind("record", "request", 9, 9, 9))])["record"].round_trips is None


def test_tasks_that_neither_commit_nor_end_are_reported_separately() -> None:
    found = stages([], [counts("worker-0", Kind("plan", "run", 0, 20, 10), Kind("plan", "poll", 0, 5, 0))])
    assert (found["plan"].round_trips, found["plan"].beside) == (2, {"poll": 0.5})


def test_a_goal_is_missed_by_an_extra_wait_and_by_synchronous_calls() -> None:
    fine = [Kind(name, "run", 0, 20, 10) for name in ("plan", "deliver", "record")]
    good = [counts("worker-0", *fine), counts("api", Kind("accept", "flush", 5, 5, 5))]
    assert missed(stages([], good)) == []
    slow = [counts("worker-0", Kind("record", "run", 0, 21, 10), *fine[:2]), good[1]]
    assert missed(stages([], slow)) == ["record"]
    hidden = [counts("worker-0", *fine, sync={"plan": {"directory.users": 3}}), good[1]]
    assert missed(stages([], hidden)) == ["plan"]
    assert missed(stages([], [])) == ["accept", "plan", "deliver", "record"]
