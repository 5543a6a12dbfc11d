"""Pieces of work, one in each turn of the event loop."""

import asyncio
from contextlib import suppress

from clarion.edge.one_a_turn import OneATurn


async def test_no_turn_has_two_pieces():
    heavy, turn, pieces = OneATurn(), 0, []

    async def piece():
        async with heavy:
            pieces.append(turn)

    tasks = [asyncio.create_task(piece()) for _ in range(5)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turn += 1
    assert len(set(pieces)) == 5


async def test_a_piece_that_fails_or_is_cancelled_lets_the_next_one_begin():
    heavy = OneATurn()
    with suppress(ValueError):
        async with heavy:
            raise ValueError
    waiting = asyncio.create_task(heavy.__aenter__())
    async with asyncio.timeout(1):
        await waiting
    leaving = asyncio.create_task(heavy.__aexit__(None, None, None))
    await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(1), heavy:
        pass
