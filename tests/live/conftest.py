"""The gateway's transport runs on the loop that it runs on in an installation."""

import pytest
import uvloop

from tests.live.gateways import gateway


def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def live():
    async with gateway() as one:
        yield one
