"""The workflow side of `state.db`: where instances stand and what they did."""

from collections.abc import Sequence
from typing import Final

import apsw
from msgspec.structs import astuple

from clarion.backends.sqlite.connection import fetch_all
from clarion.backends.sqlite.state_threads import Threads
from clarion.domain.history import INSTANCE_ENDINGS, Instance, Progress
from clarion.domain.limits import RECIPIENTS_MAX

_COLUMNS: Final = ", ".join(Instance.__struct_fields__)
# Whatever comes after an ending changes nothing of where the instance stands.
_STANDS: Final = f"""INSERT INTO instances ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET step = excluded.step, state = excluded.state, ended_ms = excluded.ended_ms,
    detail = excluded.detail WHERE ended_ms IS NULL"""  # noqa: S608
_DID: Final = """INSERT INTO progress (instance_id, tenant, sequence, at_ms, step, event, detail)
    SELECT ?1, ?2, coalesce(max(sequence), 0) + 1, ?3, ?4, ?5, ?6 FROM progress WHERE instance_id = ?1 AND tenant = ?2"""
_OF: Final = f"""SELECT {_COLUMNS} FROM instances WHERE notification_id = ? AND tenant = ?
    ORDER BY user_id, id LIMIT ?"""  # noqa: S608
_STORY: Final = """SELECT instance_id, notification_id, tenant, user_id, workflow, version, progress.step, event, at_ms,
    progress.detail FROM progress JOIN instances USING (tenant) WHERE instances.id = instance_id
    AND instance_id = ? AND tenant = ? ORDER BY sequence"""


def store_progress(db: apsw.Connection, rows: Sequence[Progress]) -> None:
    """Write what instances did, in order, and where that leaves them."""
    stands: dict[tuple[bytes, str], Instance] = {}
    for row in rows:
        before = stands.get((row.instance_id, row.tenant))
        if before is None or before.ended_ms is None:
            stands[row.instance_id, row.tenant] = _standing(row, row.at_ms if before is None else before.started_ms)
    db.executemany(_STANDS, map(astuple, stands.values()))
    db.executemany(_DID, ((row.instance_id, row.tenant, row.at_ms, row.step, row.event, row.detail) for row in rows))


def _standing(row: Progress, started_ms: int) -> Instance:
    ended_ms = row.at_ms if row.event in INSTANCE_ENDINGS else None
    state = row.event if ended_ms is not None or row.event == "waiting" else "running"
    return Instance(
        row.instance_id, row.tenant, row.notification_id, row.user_id, row.workflow, row.version, row.step, state,
        started_ms, ended_ms, row.detail,
    )  # fmt: skip


class StateInstances:
    """Implements the part of `ports.history.History` that tells of workflow instances."""

    _threads: Threads

    async def instances_of(self, tenant: str, notification_id: bytes) -> list[Instance]:
        """Return the workflow instances of a notification, by user."""
        rows = fetch_all(self._threads.reader(), _OF, (notification_id, tenant, RECIPIENTS_MAX))
        return [Instance(*row) for row in rows]

    async def progress_of(self, tenant: str, instance_ids: Sequence[bytes]) -> list[Progress]:
        """Return what instances did, by instance and in order."""
        rows = self._threads.reader().executemany(_STORY, [(id_, tenant) for id_ in instance_ids])
        return [Progress(*row) for row in rows]
