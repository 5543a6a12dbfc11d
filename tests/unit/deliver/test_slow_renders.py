"""Slow templates are rendered in a thread, from the first time on, and the loop continues meanwhile."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clarion.content.render import Rendering, TenantContext
from clarion.deliver.send import worker_renders
from clarion.deliver.send.worker_renders import Renders
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.template import Brand
from clarion.languages.handlebars.engine import HandlebarsRenderer
from clarion.languages.liquid.engine import LiquidRenderer
from clarion.ports.renderer import RenderError
from tests.unit.deliver.test_slow_builds import ROW

SLOW, QUICK = ROW._replace(template="slow"), ROW


class SlowContents:
    """Contents with one slow template; records the threads it renders on."""

    def __init__(self, ms=25, flaw=None):
        self.ms, self.flaw, self.threads = ms, flaw, []

    def render(self, planned, channel, unsubscribe_url, fitted, *, at_once=False):
        self.threads.append(threading.current_thread() is threading.main_thread())
        end_ns = time.thread_time_ns() + (self.ms if planned.template == "slow" else 0) * 1_000_000
        while time.thread_time_ns() < end_ns:
            pass
        if self.flaw:
            raise self.flaw
        return {"body": planned.template}


@pytest.fixture
def threads():
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def rendered(renders, *rows):
    asked = [(row, Channel.SMS, "", []) for row in rows]
    return [(renders.render_now(*each) or await renders.render_in_thread(*each))["body"] for each in asked]


async def test_only_templates_known_as_slow_go_to_a_thread(threads):
    renders = Renders(book := SlowContents(), threads)
    assert await rendered(renders, QUICK, SLOW, QUICK, SLOW, SLOW) == ["hi", "slow", "hi", "slow", "slow"]
    assert book.threads == [True, True, True, False, False]


async def test_the_loop_continues_meanwhile(threads):
    renders, turns = Renders(SlowContents(ms=60), threads), 0
    await rendered(renders, SLOW)
    attempt = asyncio.create_task(rendered(renders, SLOW))
    while not attempt.done():
        turns += 1
        await asyncio.sleep(0.005)
    assert turns > 2


async def test_a_failure_is_the_same_in_a_thread_and_marks_slowness_too(threads):
    renders = Renders(book := SlowContents(flaw=RenderError("took more than 120 ms")), threads)
    for _ in range(2):
        with pytest.raises(RenderError, match="took more"):
            await rendered(renders, SLOW)
    assert book.threads == [True, False]


async def test_many_quick_renders_bring_a_template_back(threads, monkeypatch):
    monkeypatch.setattr(worker_renders, "QUICK_RENDERS", 3)
    renders = Renders(book := SlowContents(), threads)
    await rendered(renders, SLOW)
    book.ms = 0
    await rendered(renders, *[SLOW] * 5)
    assert book.threads == [True, False, False, False, True, True]


async def test_slow_templates_are_remembered_up_to_a_number(threads, monkeypatch):
    monkeypatch.setattr(worker_renders, "SLOW_TEMPLATES_MAX", 2)
    renders = Renders(book := SlowContents(), threads)
    rows = [SLOW._replace(tenant=tenant) for tenant in "abc"]
    await rendered(renders, *rows)
    await rendered(renders, *rows[1:], rows[0])
    assert book.threads == [True, True, True, False, False, True]


class Watched(Rendering):
    """The real rendering of one template; records what was rendered on the loop's thread, and what was tried there."""

    def __init__(self, engine, body):
        super().__init__({"liquid": LiquidRenderer(), "handlebars": HandlebarsRenderer()})
        self._templates["acme", "hi"] = Template("hi", 1, None, {Channel.SMS: {"body": body}}, engine=engine)
        self._tenant_contexts["acme"] = TenantContext(Brand(), "en", "UTC")
        self.tried, self.done = [], []

    def render(self, *args, **options):
        here = threading.current_thread() is threading.main_thread()
        self.tried.append(here)
        parts = super().render(*args, **options)
        self.done.append(here)
        return parts


LOOPS = {
    "liquid": "{% for n in data.many %}{% assign x = n | times: 2 %}{{ x }}{% endfor %}",
    "handlebars": "{{#each data.many}}{{this}}{{/each}}",
}


@pytest.mark.parametrize("engine", LOOPS)
async def test_an_uncompiled_template_is_rendered_in_a_thread(threads, engine, monkeypatch):
    monkeypatch.setattr(worker_renders, "SLOW_RENDER_NS", 10**12)
    monkeypatch.setattr(worker_renders, "LOOP_RENDER_CPU_MS_MAX", 10**6)
    renders = Renders(book := Watched(engine, LOOPS[engine]), threads)
    row = QUICK._replace(data={"many": [1, 2]})
    assert len(set(await rendered(renders, row, row, row))) == 1
    assert book.done == [False, True, True]


@pytest.mark.parametrize("engine", LOOPS)
async def test_a_render_over_the_loops_budget_restarts_in_a_thread(threads, engine, monkeypatch):
    many = QUICK._replace(data={"many": list(range(200))})
    (whole,) = await rendered(Renders(Watched(engine, LOOPS[engine]), threads), many)
    monkeypatch.setattr(worker_renders, "LOOP_RENDER_CPU_MS_MAX", 0)
    renders = Renders(book := Watched(engine, LOOPS[engine]), threads)
    assert await rendered(renders, many, many) == [whole, whole]
    assert book.tried[:3] == [True, False, True], "compiled in the thread, then tried on the loop"
    assert book.done == [False, False]


async def test_a_short_text_that_cannot_be_rendered_fails_at_once(threads):
    renders = Renders(book := Watched("liquid", "{{ data.name | upcase }}{% if data.x %}{% endif %}"), threads)
    for _ in range(2):
        with pytest.raises(RenderError):
            await rendered(renders, QUICK)
    assert book.tried == [True, False, True]
