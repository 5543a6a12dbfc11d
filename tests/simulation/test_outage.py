"""The chaos case `outage` in small: it passes, the same seed gives the same run, and it detects planted faults."""

import pytest

from clarion.deliver.accounts import local_health
from clarion.deliver.accounts.grants import Grant
from clarion.deliver.accounts.worker import Accounts
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.rules.account_tally import FAILED
from clarion.deliver.send import worker_renders
from clarion.domain.outcome import InvalidRecipient
from clarion_lab.outage.run import Shape, run
from clarion_lab.outage.verdict import judge

SMALL = Shape(before_s=40, down_s=60, after_s=120, orders=4, promotions=4, refused=1, texts=1, healthy=1, stale=2)


@pytest.fixture(autouse=True)
def renders_are_quick(monkeypatch):
    """What a busy machine delays must not look like a slow template: such ones are rendered elsewhere, in another order."""
    monkeypatch.setattr(worker_renders, "SLOW_RENDER_NS", 3_600 * 10**9)


@pytest.mark.slow
@pytest.mark.nightly
def test_nobody_loses_a_message_to_an_outage(tmp_path):
    result = []
    for name in ("one", "again"):
        (tmp_path / name).mkdir()
        result.append(judge(run(3, tmp_path / name, SMALL)))
    assert result[0].trace == result[1].trace
    assert result[0].faults == {}
    assert result[0].lost == result[0].collateral == 0
    assert result[0].notes["by_sms_while_down"] > 0
    assert result[0].notes["affected"] > 100


def without_breakers(monkeypatch):
    async def admit_each(self, asked):
        return [Grant(wanted) for _, wanted in asked]

    monkeypatch.setattr(Breakers, "admit_each", admit_each)
    monkeypatch.setattr(Breakers, "state", lambda self, account: "closed")


def dead_tokens_are_the_accounts_fault(monkeypatch):
    right = local_health.tally_of
    monkeypatch.setattr(
        local_health,
        "tally_of",
        lambda outcome, at: FAILED if isinstance(outcome, InvalidRecipient) else right(outcome, at),
    )


def dead_tokens_are_called_for_ever(monkeypatch):
    async def suppressed(self, wanted):
        return {place: {} for place in wanted}

    monkeypatch.setattr(Accounts, "suppressed", suppressed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_it", "seen"),
    [
        (without_breakers, "amplification"),
        (dead_tokens_are_the_accounts_fault, "collateral"),
        (dead_tokens_are_called_for_ever, "dead_token_called_again"),
    ],
)
def test_a_fault_that_was_put_in_is_seen(tmp_path, monkeypatch, break_it, seen):
    break_it(monkeypatch)
    assert seen in judge(run(3, tmp_path, SMALL._replace(before_s=25, down_s=45, after_s=60))).faults
