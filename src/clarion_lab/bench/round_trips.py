"""Round trips by stage, from the counted delays: sequential waits on a frame's way, calls, and calls that could not be
delayed."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from clarion.record.worker_upkeep import Upkeep
from clarion_lab.load.delays import Counts, Kind

GOALS: Final = {"accept": 2.5, "plan": 4.0, "deliver": 3.0, "record": 2.0}
"""The most round trips a frame may take in each stage."""
API: Final = "api"
ASIDE: Final = frozenset({Upkeep.run.__qualname__, Upkeep.report_position.__qualname__})
"""Tasks with their own commits for which no frame waits."""


class Stage(NamedTuple):
    """One stage under load. `round_trips` is the sum, over the kinds of its tasks that a frame passes, of waits per
    commit (or per task, when the kind commits nothing itself and ends); None when none of them commits by an awaited
    call, and `tasks` has it by kind. `calls` and `idle` waits are per commit. `beside` holds the waits, per commit of the stage, of tasks that
    neither commit nor end, and of upkeep. `sync_calls` counts calls of methods that are not awaitable."""

    round_trips: float | None
    tasks: dict[str, float]
    commits: int
    calls: float
    idle: float
    beside: dict[str, float]
    sync_calls: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON line."""
        return {
            "round_trips": None if self.round_trips is None else round(self.round_trips, 2),
            "tasks": {name: round(waits, 2) for name, waits in self.tasks.items()},
            "commits": self.commits,
            "calls": round(self.calls, 2),
            "idle": round(self.idle, 2),
            "beside": {name: round(waits, 2) for name, waits in self.beside.items()},
            "sync_calls": self.sync_calls,
        }


def stages(before: Iterable[Counts], after: Iterable[Counts]) -> dict[str, Stage]:
    """Return the stages of `GOALS` between two readings of all processes."""
    earlier = {counts.role: counts for counts in before}
    spent = [(counts.role, _less(counts, earlier.get(counts.role))) for counts in after]
    return {
        name: _stage(name, [counts for role, counts in spent if (name == "accept") == (role == API)]) for name in GOALS
    }


def missed(found: dict[str, Stage]) -> list[str]:
    """Return the stages that take more round trips than their goal, or whose round trips are unknown: calls of methods
    that are not awaitable hide round trips."""
    return [
        name
        for name, stage in found.items()
        if stage.round_trips is None or stage.round_trips > GOALS[name] or stage.sync_calls
    ]


def _less(counts: Counts, earlier: Counts | None) -> Counts:
    if earlier is None:
        return counts
    was = {(kind.stage, kind.name): kind for kind in earlier.kinds}
    kinds = []
    for kind in counts.kinds:
        old = was.get((kind.stage, kind.name), Kind(kind.stage, kind.name))
        kinds.append(
            Kind(
                kind.stage,
                kind.name,
                kind.ended - old.ended,
                kind.waits - old.waits,
                kind.commits - old.commits,
                kind.idle - old.idle,
            )
        )
    return Counts(
        counts.role, kinds, _fewer(counts.calls, earlier.calls), _fewer(counts.sync_calls, earlier.sync_calls)
    )


def _fewer(calls: dict[str, dict[str, int]], earlier: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {
        stage: {name: number - earlier.get(stage, {}).get(name, 0) for name, number in names.items()}
        for stage, names in calls.items()
    }


def _stage(name: str, processes: list[Counts]) -> Stage:
    kinds: dict[str, Kind] = {}
    for kind in (kind for counts in processes for kind in counts.kinds if kind.stage == name):
        so_far = kinds.setdefault(kind.name, Kind(name, kind.name))
        so_far.ended += kind.ended
        so_far.waits += kind.waits
        so_far.commits += kind.commits
        so_far.idle += kind.idle
    commits = max((kind.commits for kind in kinds.values()), default=0)
    aside = [kind for kind in kinds.values() if kind.name in ASIDE or not (kind.commits or kind.ended)]
    passed = {kind.name: kind.waits / (kind.commits or kind.ended) for kind in kinds.values() if kind not in aside}
    beside = {kind.name: kind.waits / max(commits, 1) for kind in aside}
    calls = sum(sum(counts.calls.get(name, {}).values()) for counts in processes)
    direct: dict[str, int] = {}
    for counts in processes:
        for method, number in counts.sync_calls.get(name, {}).items():
            direct[method] = direct.get(method, 0) + number
    return Stage(
        sum(passed.values()) if commits else None,
        {kind: waits for kind, waits in passed.items() if waits},
        commits,
        calls / max(commits, 1),
        sum(kind.idle for kind in kinds.values()) / max(commits, 1),
        {kind: waits for kind, waits in beside.items() if waits},
        {method: number for method, number in sorted(direct.items()) if number},
    )
