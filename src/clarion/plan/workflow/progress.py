"""Progress of instances in one planning step, as frames for `outcomes`."""

from collections import Counter

from clarion.domain.ids import NOTIFICATION_ID_BYTES
from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.limits_processes import FRAME_RECORDS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import ProgressFrame
from clarion.plan.rules.workflow.state import ProgressLine
from clarion.plan.workflow.instance import Instance
from clarion.ports.streams import Frame


class ProgressColumns:
    """Collects the columns of `ProgressFrame`s."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._rows: list[tuple[bytes, bytes, str, str, str, int, str, str, int, str]] = []
        self.counts: Counter[str] = Counter()

    def add(self, instance_id: bytes, instance: Instance, line: ProgressLine) -> None:
        """Add a progress line of an instance."""
        self.counts[line.event] += 1
        state = instance.state
        self._rows.append((
            instance_id, instance_id[:NOTIFICATION_ID_BYTES], instance.tenant, instance.recipient.user_id,
            state.workflow, state.version, line.step, line.event, self._now_ms, line.detail[:ATTEMPT_DETAIL_CHARS_MAX],
        ))  # fmt: skip

    def frames(self, partition: int) -> list[Frame]:
        """Return the frames of all lines, in order."""
        parts = [self._rows[i : i + FRAME_RECORDS_MAX] for i in range(0, len(self._rows), FRAME_RECORDS_MAX)]
        return [Frame(topics.OUTCOMES, partition, len(part), encode(_columns(part), len(part))) for part in parts]


def _columns(rows: list[tuple[bytes, bytes, str, str, str, int, str, str, int, str]]) -> ProgressFrame:
    return ProgressFrame(*map(list, zip(*rows, strict=True)))
