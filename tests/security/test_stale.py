"""A removed definition is not used any more: a stale cache would continue to send it."""

import time

import pytest

from clarion.content.gather import Contents
from clarion.domain.channel import Channel
from clarion.domain.limits_processes import REVISION_CHECK_MS
from clarion.domain.planned import PlannedDelivery
from clarion.languages.liquid.engine import LiquidRenderer


@pytest.mark.slow
async def test_a_template_removed_and_made_anew_is_the_new_one(api):
    directory = api.parts.directory
    contents = Contents(directory, {"liquid": LiquidRenderer()})

    async def body(tenant):
        before = time.monotonic()
        while time.monotonic() - before <= REVISION_CHECK_MS / 1000:
            await contents.gather([(tenant, "note")], [tenant])
        data = {"text": "t"}
        planned = PlannedDelivery(
            bytes(24), tenant, "ada", "", "", "note", "", data, None, 1, None, None, ordering_key=None, chunk=None
        )
        return contents.render(planned, Channel.SMS)["body"]

    assert (await body("acme"), await body("other")) == ("t", "t")
    await api.ok("DELETE", "/v1/templates/note")
    made = await api.ok("PUT", "/v1/templates/note", {"channels": {"sms": {"body": "new {{ data.text }}"}}})
    assert made.json["version"] == 2  # version numbers are not reused
    assert (await body("acme"), await body("other")) == ("new t", "t")
    await api.ok("PUT", "/v1/templates/note", {"channels": {"sms": {"body": "second"}}})
    assert (await body("acme"), await body("other")) == ("second", "t")
