"""The chaos case `outage` in small: it passes, and the same seed is the same run."""

import pytest

from clarion.app.chaos.outage import judge
from clarion.testing.outage.run import Shape, run

SMALL = Shape(before_s=40, down_s=60, after_s=120, orders=4, promotions=4, refused=1, texts=1, healthy=1, stale=2)


@pytest.mark.slow
def test_nobody_loses_a_message_to_an_outage(tmp_path):
    told = []
    for name in ("one", "again"):
        (tmp_path / name).mkdir()
        told.append(judge(run(3, tmp_path / name, SMALL)))
    assert told[0].trace == told[1].trace
    assert told[0].faults == {}
    assert told[0].lost == told[0].collateral == 0
    assert told[0].notes["by_sms_while_down"] > 0
    assert told[0].notes["affected"] > 100
