"""Seen receipts on the journal: one commit passes them to the record stage and to the waiters for them."""

from collections import defaultdict
from collections.abc import Iterable

from clarion.domain.ids import partition_of
from clarion.journal.codec import encode
from clarion.journal.events import SeenFrame
from clarion.journal.signals import seen_key, signal
from clarion.journal.topics import OUTCOMES
from clarion.ports.stage_store import PlanState, StageResult
from clarion.ports.streams import Frame


def seen_result(
    tenant: str, user_id: str, notification_ids: Iterable[bytes], at_ms: int, partitions: int
) -> StageResult:
    """Return the step that stores that a user saw notifications (or broadcasts) at `at_ms`, Unix milliseconds, in a journal
    of so many partitions."""
    by_partition: dict[int, list[bytes]] = defaultdict(list)
    for id_ in dict.fromkeys(notification_ids):
        by_partition[partition_of(id_, partitions)].append(id_)
    frames = [
        Frame(OUTCOMES, partition, len(members), encode(_frame(tenant, user_id, members, at_ms), len(members)))
        for partition, members in by_partition.items()
    ]
    keys = [seen_key(id_, user_id) for members in by_partition.values() for id_ in members]
    signals = [signal(tenant, key, at_ms, {}) for key in keys]
    return StageResult(frames=frames, plan_state=PlanState(signals=signals))


def _frame(tenant: str, user_id: str, ids: list[bytes], at_ms: int) -> SeenFrame:
    many = len(ids)
    return SeenFrame([tenant] * many, ids, [user_id] * many, [at_ms] * many)
