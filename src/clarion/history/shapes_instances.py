"""The response bodies of workflow instances, shown with the notification that started them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from clarion.domain import ids
from clarion.domain.history import Instance, Progress
from clarion.domain.times import shown


class ProgressOut(msgspec.Struct, frozen=True):
    """One event of a workflow instance: `started`, `step`, `waiting`, or its end."""

    at: datetime
    event: str
    step: str | None
    detail: str


class InstanceOut(msgspec.Struct, frozen=True):
    """A workflow's run for one recipient. `state` is `running`, `waiting`, `completed`, `merged` (into the digest of
    another instance), `cancelled`, `expired` or `failed`; `detail` has the cause."""

    id: str
    user_id: str | None
    workflow: str
    version: int
    state: str
    step: str | None
    detail: str
    started_at: datetime
    ended_at: datetime | None
    progress: list[ProgressOut]


def instances_out(instances: Sequence[Instance], recorded: Iterable[Progress]) -> list[InstanceOut]:
    """Return instances with the events of each."""
    stories: dict[bytes, list[ProgressOut]] = defaultdict(list)
    for row in recorded:
        stories[row.instance_id].append(ProgressOut(shown(row.at_ms), row.event, row.step or None, row.detail))
    return [
        InstanceOut(
            id=ids.write(ids.INSTANCE_PREFIX, one.id),
            user_id=one.user_id or None,
            workflow=one.workflow,
            version=one.version,
            state=one.state,
            step=one.step or None,
            detail=one.detail,
            started_at=shown(one.started_ms),
            ended_at=shown(one.ended_ms),
            progress=stories[one.id],
        )
        for one in instances
    ]
