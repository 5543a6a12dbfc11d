"""A flow over each journal backend."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.contract.journals import EMBEDDED, VirtualClock
from tests.stages.flows import Flow, Shelf


@pytest.fixture(params=EMBEDDED)
async def flow_of(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[..., Flow]]:
    """Return a factory of flows with workflows."""
    clock = VirtualClock()
    journal = EMBEDDED[request.param](tmp_path, clock)
    yield lambda **workflows: Flow(journal, clock, Shelf(**workflows))
    await journal.close()
