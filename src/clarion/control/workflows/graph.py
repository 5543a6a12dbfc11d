"""The graph of a workflow: every edge leads to an existing step, there is no cycle, and every step is reachable."""

from collections.abc import Iterator

from clarion.domain.errors import InvalidField
from clarion.domain.workflow import END, Workflow, follows

_WAYS = ("next", "then", "otherwise", "on_timeout")


def check_graph(workflow: Workflow) -> None:
    """Raise `InvalidField` for the first edge to an unknown step, the first cycle, and the first unreachable step.
    Names must be unique already."""
    names = {step.name: index for index, step in enumerate(workflow.steps)}
    for index, step in enumerate(workflow.steps):
        for way in _WAYS:
            name = getattr(step, way, None)
            if name is not None and name != END and name not in names:
                raise InvalidField(f"there is no step {name[:100]!r}", field=f"steps[{index}].{way}")
    ahead = [
        [(way, names[name]) for way, name in follows(workflow, index).items() if name != END]
        for index in range(len(workflow.steps))
    ]
    reached = _walk(workflow, ahead)
    for index, step in enumerate(workflow.steps):
        if index not in reached:
            raise InvalidField(f"the step {step.name!r} is unreachable", field=f"steps[{index}]")


def before(workflow: Workflow, index: int) -> set[str]:
    """Return the names of all steps from which the step is reachable. The graph must have no cycle."""
    comes_from: dict[str, set[str]] = {}
    for place, step in enumerate(workflow.steps):
        for name in follows(workflow, place).values():
            comes_from.setdefault(name, set()).add(step.name)
    found: set[str] = set()
    rest = [workflow.steps[index].name]
    while rest:
        new = comes_from.get(rest.pop(), set()) - found
        found |= new
        rest += new
    return found


def _walk(workflow: Workflow, ahead: list[list[tuple[str, int]]]) -> set[int]:
    """Return the steps reachable from the first. The search is depth-first over all steps, so that it finds every
    cycle."""
    reached_first: set[int] = set()
    done: set[int] = set()
    for start in range(len(workflow.steps)):
        _walk_from(workflow, ahead, start, done)
        if start == 0:
            reached_first = set(done)
    return reached_first


def _walk_from(workflow: Workflow, ahead: list[list[tuple[str, int]]], start: int, done: set[int]) -> None:
    path: list[tuple[int, Iterator[tuple[str, int]]]] = [] if start in done else [(start, iter(ahead[start]))]
    under_way = {start}
    while path:
        index, ways = path[-1]
        way, following = next(ways, ("", -1))
        if following < 0:
            done.add(index)
            under_way.discard(index)
            path.pop()
        elif following in under_way:
            name = workflow.steps[following].name
            raise InvalidField(f"goes back to the step {name!r}; steps form no cycle", field=f"steps[{index}].{way}")
        elif following not in done:
            under_way.add(following)
            path.append((following, iter(ahead[following])))
