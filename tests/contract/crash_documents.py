"""Child of the crash test: commits changes of documents and is killed just before the N-th step of the transaction; the last
one is its end.

Usage: crash_documents.py BACKEND DATA_DIR N. It ends with 0 when the commit had fewer steps.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from clarion.domain.actor import Actor, ActorKind
from clarion.ports.documents import Author, Changes, DocumentKey, Expected, Put, Removal
from tests.contract.controls import ControlPlane

KEPT, GONE, NEW = (DocumentKey("acme", "thing", name) for name in ("kept", "gone", "new"))
AUTHOR = Author("acme", Actor(ActorKind.KEY, "ada"))
BEFORE = Changes("thing.put", KEPT, 1, (Put(KEPT, b"1"), Put(GONE, b"1")), artifacts={KEPT: b"built 1"})
CHANGES = Changes(
    "thing.put",
    KEPT,
    2,
    (Put(KEPT, b"2", frozenset({("thing", "new")})), Put(NEW, b"1")),
    (Removal(GONE),),
    {KEPT: b"built 2", NEW: b"built 1"},
)
EXPECTED = Expected({KEPT: 1, GONE: 1, NEW: 0}, {GONE: frozenset()})


class Mortal:
    """An engine whose transactions end the process at a step."""

    def __init__(self, engine, steps):
        self._engine = engine
        self._left = steps

    def step(self):
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    async def run(self, tenant, work, **options):
        async def counted(tx):
            result = await work(_Steps(tx, self.step))
            self.step()
            return result

        return await self._engine.run(tenant, counted, **options)


class _Steps:
    def __init__(self, tx, step):
        self._tx = tx
        self._step = step

    async def rows(self, statement, /, **values):
        self._step()
        return await self._tx.rows(statement, **values)

    async def change(self, statement, /, **values):
        self._step()
        return await self._tx.change(statement, **values)

    def revise(self, tenant):
        self._step()
        self._tx.revise(tenant)


async def main(backend: str, data_dir: Path, steps: int) -> None:
    control_plane = ControlPlane(data_dir, backend=backend)
    documents = control_plane.control.documents
    documents._engine = Mortal(documents._engine, steps)
    await documents.commit(AUTHOR, CHANGES, EXPECTED)
    await control_plane.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
