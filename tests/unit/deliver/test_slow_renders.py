"""What was slow to render before is rendered in a thread, and the loop goes on meanwhile."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clarion.deliver.send import worker_renders
from clarion.deliver.send.worker_renders import Renders
from clarion.domain.channel import Channel
from clarion.ports.renderer import RenderError
from tests.unit.deliver.test_slow_builds import ROW

SLOW, QUICK = ROW._replace(template="slow"), ROW


class Book:
    """Contents whose slow template takes its time, on threads it notes."""

    def __init__(self, ms=25, flaw=None):
        self.ms, self.flaw, self.threads = ms, flaw, []

    def render(self, planned, channel, unsubscribe_url, fitted):
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
    return [
        (await renders.apart(*each) if renders.is_slow(*each[:2]) else renders.now(*each))["body"] for each in asked
    ]


async def test_only_what_was_slow_before_goes_to_a_thread(threads):
    renders = Renders(book := Book(), threads)
    assert await rendered(renders, QUICK, SLOW, QUICK, SLOW, SLOW) == ["hi", "slow", "hi", "slow", "slow"]
    assert book.threads == [True, True, True, False, False]


async def test_the_loop_goes_on_meanwhile(threads):
    renders, turns = Renders(Book(ms=60), threads), 0
    await rendered(renders, SLOW)
    attempt = asyncio.create_task(rendered(renders, SLOW))
    while not attempt.done():
        turns += 1
        await asyncio.sleep(0.005)
    assert turns > 2


async def test_a_failure_is_the_same_in_a_thread_and_tells_of_slowness_too(threads):
    renders = Renders(book := Book(flaw=RenderError("took more than 120 ms")), threads)
    for _ in range(2):
        with pytest.raises(RenderError, match="took more"):
            await rendered(renders, SLOW)
    assert book.threads == [True, False]


async def test_many_quick_renders_bring_a_template_back(threads, monkeypatch):
    monkeypatch.setattr(worker_renders, "QUICK_RENDERS", 3)
    renders = Renders(book := Book(), threads)
    await rendered(renders, SLOW)
    book.ms = 0
    await rendered(renders, *[SLOW] * 5)
    assert book.threads == [True, False, False, False, True, True]


async def test_slow_templates_are_remembered_up_to_a_number(threads, monkeypatch):
    monkeypatch.setattr(worker_renders, "SLOW_TEMPLATES_MAX", 2)
    renders = Renders(book := Book(), threads)
    rows = [SLOW._replace(tenant=tenant) for tenant in "abc"]
    await rendered(renders, *rows)
    await rendered(renders, *rows[1:], rows[0])
    assert book.threads == [True, True, True, False, False, True]
