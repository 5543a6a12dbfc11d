"""The steps that a workflow may reach before it waits again, and the facts that they need."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from clarion.domain.workflow import (
    END,
    Delay,
    Digest,
    Fetch,
    Send,
    Step,
    Throttle,
    WaitUntil,
    Workflow,
    follows,
)

_STILL: Final = (Delay, Digest, WaitUntil, Fetch)
"""Steps that an instance usually waits in."""
_JSON: Final = msgspec.json.Encoder()


class NextSteps(NamedTuple):
    """Among the next steps: those that send, those that read a cell by key, and whether any may need seen receipts. It
    is a guess: a fact too many costs a read, one too few a second decision."""

    sends: tuple[Send, ...]
    keyed: tuple[Digest | Throttle, ...]
    asks_seen: bool


NO_NEXT_STEPS: Final = NextSteps((), (), asks_seen=False)


def next_steps(workflow: Workflow, name: str) -> NextSteps:
    """Return the next steps of an instance at the step of that name; an empty name is one about to begin."""
    ahead = list(_ahead(workflow, name))
    here = [step for step in workflow.steps if step.name == name]
    return NextSteps(
        sends=tuple(step for step in ahead if isinstance(step, Send)),
        keyed=tuple(step for step in ahead if isinstance(step, Digest | Throttle)),
        asks_seen=any(b"seen" in _JSON.encode(step) for step in (*here, *ahead)),
    )


def _ahead(workflow: Workflow, name: str) -> Iterable[Step]:
    steps = {step.name: (index, step) for index, step in enumerate(workflow.steps)}
    if not name:
        open_ = [workflow.steps[0].name]
    elif name in steps:
        open_ = list(follows(workflow, steps[name][0]).values())
    else:
        open_ = []
    been: set[str] = {END}
    while open_:
        place = open_.pop()
        if place in been:
            continue
        been.add(place)
        index, step = steps[place]
        yield step
        if not isinstance(step, _STILL):
            open_ += follows(workflow, index).values()
