"""What instances did in one step of planning, as frames for `outcomes`."""

from collections import Counter

from clarion.domain.ids import NOTIFICATION_ID_BYTES
from clarion.domain.limits import ATTEMPT_DETAIL_CHARS_MAX, FRAME_RECORDS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import ProgressFrame
from clarion.plan.rules.workflow.state import Told
from clarion.plan.workflow.instance import Instance
from clarion.ports.streams import Frame


class Progress:
    """Collects the columns of `ProgressFrame`s."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._rows: list[tuple[bytes, bytes, str, str, str, int, str, str, int, str]] = []
        self.counts: Counter[str] = Counter()

    def tell(self, instance_id: bytes, instance: Instance, told: Told) -> None:
        """Add a line of an instance's story."""
        self.counts[told.event] += 1
        state = instance.state
        self._rows.append((
            instance_id, instance_id[:NOTIFICATION_ID_BYTES], instance.tenant, instance.recipient.user_id,
            state.workflow, state.version, told.step, told.event, self._now_ms, told.detail[:ATTEMPT_DETAIL_CHARS_MAX],
        ))  # fmt: skip

    def frames(self, partition: int) -> list[Frame]:
        """Return the frames that tell it all, in order."""
        parts = [self._rows[i : i + FRAME_RECORDS_MAX] for i in range(0, len(self._rows), FRAME_RECORDS_MAX)]
        return [Frame(topics.OUTCOMES, partition, len(part), encode(_columns(part), len(part))) for part in parts]


def _columns(rows: list[tuple[bytes, bytes, str, str, str, int, str, str, int, str]]) -> ProgressFrame:
    return ProgressFrame(*map(list, zip(*rows, strict=True)))
