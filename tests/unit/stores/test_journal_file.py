"""A frame that was changed on disk is not decoded."""

import random

import pytest

from clarion.domain.errors import CorruptFrame
from clarion.journal.codec import decode, encode
from clarion.journal.events import CancelledFrame
from clarion.stores.sqlite.migrate import path_of
from tests.contract.journals import VirtualClock, frames, sqlite
from tests.look import Look


@pytest.mark.parametrize("seed", range(5))
async def test_a_payload_changed_on_disk_is_not_decoded(tmp_path, seed):
    clock = VirtualClock()
    chance = random.Random(seed)
    event = CancelledFrame(["acme"] * 50, [chance.randbytes(16) for _ in range(50)], [1] * 50)
    whole = encode(event, 50)
    journal = sqlite(tmp_path, clock)
    await journal.commit(frames(whole))
    await journal.close()

    path = path_of(tmp_path, "journal")
    image = bytearray(path.read_bytes())
    at = image.index(whole) + chance.randrange(len(whole))
    image[at] ^= 1 << chance.randrange(8)
    path.write_bytes(image)

    journal = sqlite(tmp_path, clock)
    (stored,) = await Look(journal).read("t", 0, 0)
    await journal.close()
    assert stored.payload != whole
    with pytest.raises(CorruptFrame):
        decode(stored.payload)
