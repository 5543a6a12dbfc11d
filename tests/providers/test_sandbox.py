"""The sandbox serves every channel and reports a wrong script clearly; its outcomes are in the table."""

import msgspec
import pytest

from clarion.domain.channel import CHANNELS
from clarion.domain.message import LocalReply
from clarion.domain.outcome import Accepted
from clarion.providers.catalogue import load
from clarion.providers.sandbox import sandbox
from tests.providers import battery

TABLE = battery.tables()["sms_sandbox"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_channel_has_a_sandbox_that_keeps_the_whole_message(channel):
    vendor = load()[channel, "sandbox"]
    table = {"vendor": "sandbox", "channel": channel, "message": {"address": "x", "parts": {"body": "hi"}}}
    request = battery.build(vendor, table)
    outcome = vendor.read(LocalReply(request.content), battery.message(table), battery.account(table), now_ms=1)
    assert isinstance(outcome, Accepted)
    assert outcome.content == request.content
    assert (outcome.content["channel"], outcome.content["parts"]) == (channel, {"body": "hi"})


@pytest.mark.parametrize(
    "script", ["explode", ["accepted", 7], {"outcome": None}, [{}], {"outcome": "throttled", "scope": "all"}]
)
def test_an_unknown_outcome_is_named(script):
    account = msgspec.structs.replace(battery.account(TABLE), settings={"by_address": {"*": script}})
    with pytest.raises(ValueError, match="sandbox script"):
        sandbox.build(battery.message(TABLE, attempt=2), account, now_ms=1, token=None)
