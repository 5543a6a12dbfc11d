"""Hostile drafts over the API: refused or failed in time, without effects on other tenants."""

import asyncio
import time

import psutil
import pytest

from clarion.app.wiring.engines import template_engines
from clarion.domain.limits_content import (
    CONFINED_CHILDREN_MAX,
    CONFINED_WAITING_PER_TENANT_MAX,
    DRAFT_BUILD_CPU_MS_MAX,
    DRAFT_RENDER_CPU_MS_MAX,
)
from clarion.languages.confined.pool import ConfinedDrafting

pytestmark = pytest.mark.slow

PATH = "/v1/templates/draft/preview"
DATA = {"big": "x" * 200_000, "numbers": list(range(5_000)), "text": "<b>"}
ATTACKS = {
    "liquid": {
        "nested loops": "{% for i in (1..3000) %}{% for j in (1..3000) %}x{% endfor %}{% endfor %}",
        "a range to join": "{{ (1..30000000) | join }}",
        "replace in a chain": "{{ 'xxxxxxxxxx' " + "| replace: 'x', 'xxxxxxxxxx' " * 8 + "}}",
        "replace in assigns": "{% assign a='xxxxxxxxxx' %}" + "{% assign a = a | replace: 'x', 'xxxxxxxxxx' %}" * 8,
        "doubling": "{% assign a='x' %}" + "{% assign a = a | append: a %}" * 40 + "{{ a }}",
        "nine megabytes": "{% for i in (1..50) %}{{ big }}{% endfor %}",
        "a padding date": "{{ 0 | date: '%1000000000d' }}",
        "many statements in a loop": "{% for i in (1..10000) %}" + "{% assign z = i %}" * 500 + "{% endfor %}",
        "braces that never close": "{{" * 200_000,
        "deep nesting": "{% if true %}" * 5_000 + "{% endif %}" * 5_000,
        "the inside of Python": "{{ big.__class__.__mro__ }}",
    },
    "handlebars": {
        "nested loops": "{{#each numbers}}{{#each ../numbers}}x{{/each}}{{/each}}",
        "nine megabytes": "{{#each numbers}}{{../big}}{{/each}}",
        "blocks that never close": "{{#if big}}" * 20_000,
        "deep nesting": "{{#if big}}" * 5_000 + "{{/if}}" * 5_000,
        "the inside of JavaScript": "{{big.constructor.constructor}}",
        "a prototype": "{{#with __proto__}}{{this}}{{/with}}{{__proto__.polluted}}",
    },
}
CASES = [(engine, name) for engine in template_engines() for name in ATTACKS[engine]]


def source(body, engine="liquid"):
    return {"channels": {"email": {"subject": "x", "html": body}, "sms": {"body": body}}, "engine": engine}


@pytest.fixture
async def ready(api):
    """Return an API whose confined processes have been started."""
    await asyncio.gather(*(api.ok("POST", PATH, {"source": source("x")}) for _ in range(2)))
    return api


async def good(api, key="acme"):
    answer = await api.ok("POST", PATH, {"source": source("{{ text }}"), "data": DATA}, key=key)
    assert answer.json["channels"]["email"]["parts"]["html"] == "&lt;b&gt;"


@pytest.mark.parametrize(("engine", "name"), CASES)
async def test_an_attack_fails_alone_and_in_time(ready, engine, name):
    started = time.monotonic()
    answer = await ready.call("POST", PATH, {"source": source(ATTACKS[engine][name], engine), "data": DATA})
    took_ms = (time.monotonic() - started) * 1_000
    if answer.status == 422:
        assert answer.json["field"].startswith("source.channels")
    else:
        assert answer.status == 200
        assert answer.json["errors"].keys() == {"email", "sms"}
        assert answer.json["channels"] == {}
    # The bounds are CPU time; wall time is longer on a busy machine.
    assert took_ms < 4 * (DRAFT_BUILD_CPU_MS_MAX + DRAFT_RENDER_CPU_MS_MAX)
    assert ready.failures == []
    await good(ready)


async def test_a_tenants_attacks_leave_room_for_others(ready):
    attack = {"source": source(ATTACKS["liquid"]["many statements in a loop"]), "data": DATA}
    taken = CONFINED_CHILDREN_MAX + CONFINED_WAITING_PER_TENANT_MAX
    attacked = asyncio.gather(*(ready.call("POST", PATH, attack) for _ in range(taken + 4)))
    await asyncio.sleep(0.1)
    await good(ready, "other")
    assert not attacked.done()
    statuses = [answer.status for answer in await attacked]
    assert statuses.count(503) >= 4
    assert set(statuses) <= {200, 422, 503}


async def test_a_save_that_takes_too_much_stores_nothing(ready):
    body = source("<style>" + "a b c d e f{color:red}" * 20_000 + "</style>" + "<b>" * 2_000)
    answer = await ready.call("PUT", "/v1/templates/draft", body)
    assert answer.status == 422
    assert (await ready.call("GET", "/v1/templates/draft")).status == 404


async def test_the_html_of_a_preview_is_a_page_that_can_do_nothing(ready):
    body = {"source": source("<script>alert(1)</script>{{ text }}"), "data": DATA}
    answer = await ready.ok("POST", f"{PATH}?format=html", body)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body == b"<script>alert(1)</script>&lt;b&gt;"


async def test_drafts_are_confined_by_default(api):
    assert isinstance(api.parts.drafting, ConfinedDrafting)


async def test_confined_processes_have_none_of_the_secrets(ready):
    confined = [child for child in psutil.Process().children() if "clarion.app.processes.confined" in child.cmdline()]
    assert confined
    for child in confined:
        assert not [name for name in child.environ() if name.startswith("CLARION_")]
        assert all(str(ready.parts.config.data_dir) not in file.path for file in child.open_files())
