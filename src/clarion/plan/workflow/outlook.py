"""What a workflow may come to before it stands still again: which steps, and what they look at."""

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


class Outlook(NamedTuple):
    """Of the steps that come next: those that send, those that look at a cell of a key, and whether any may ask who has seen
    what. It is a guess: too much costs a read, too little a second decision."""

    sends: tuple[Send, ...]
    keyed: tuple[Digest | Throttle, ...]
    asks_seen: bool


NO_OUTLOOK: Final = Outlook((), (), asks_seen=False)


def outlook(workflow: Workflow, name: str) -> Outlook:
    """Return the outlook of an instance in the step of that name, or about to begin without one."""
    ahead = list(_ahead(workflow, name))
    here = [step for step in workflow.steps if step.name == name]
    return Outlook(
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
