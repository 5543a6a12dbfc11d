"""What a run of sockets passes with, and what the walkers of a run count."""

import asyncio
import json

import pytest

from clarion_lab.sockets.cost import CPU_US_MAX, RATE, SECONDS, Figures
from clarion_lab.sockets.cuts import CUTS_MIN, Verdict, Walker

GOOD = Verdict(clients=1, cuts=CUTS_MIN, kills=1, recoveries=1, items=1, gaps=0, repeats=0, reloads=0, p99_back_ms=1.0)
FIGURES = Figures(10, 1.0, CPU_US_MAX, 2, RATE * SECONDS, 0, 1.0, 2.0)


@pytest.mark.parametrize("bad", [{}, {"gaps": 1}, {"repeats": 1}, {"reloads": 1}, {"cuts": CUTS_MIN - 1}])
def test_a_run_passes_without_gaps_and_repeats(bad):
    assert GOOD._replace(**bad).passed is not bool(bad)


@pytest.mark.parametrize(
    "bad", [{}, {"lost": 1}, {"items": 1}, {"cpu_us_per_frame": 26.0}, {"p99_ms": 251.0}, {"rss_kb_per_connection": 46}]
)
def test_a_bench_passes_within_its_bounds(bad):
    figures = Figures(**{name: getattr(FIGURES, name) for name in Figures.__struct_fields__} | bad)
    assert figures.passed is not bool(bad)
    assert figures.line()["passed"] is figures.passed


class Run:
    def __init__(self):
        self.ended, self.back_s, self.works = False, [], []

    def later(self, work):
        work.close()
        self.works.append(work)


class Cut:
    def __init__(self):
        self.cuts = 0

    def cut(self):
        self.cuts += 1


async def test_a_walker_keeps_its_position_counts_items_and_is_cut_after_its_frames():
    run, page = Run(), Cut()
    walker = Walker(run, "ada", "token", None)
    walker._left = 3
    for message in (
        {"type": "welcome", "recovered": False, "position": "a"},
        {"type": "item", "item": {"notification_id": "n"}, "position": "b"},
        {"type": "counts", "position": "c"},
    ):
        walker._heard(page, json.dumps(message).encode())
    assert (walker.position, walker.got, page.cuts) == ("c", {"n": 1}, 1)
    assert (walker.recoveries, walker.reloads) == (0, 0)  # it did not come back yet
    walker._ended(page)
    assert walker.cuts == 1 and len(run.works) == 1
    for recovered in (True, False):
        walker._heard(page, json.dumps({"type": "welcome", "recovered": recovered}).encode())
    assert (walker.recoveries, walker.reloads, len(run.back_s)) == (1, 1, 2)
    run.ended = True
    walker._ended(page)
    assert walker.cuts == 1
    await asyncio.sleep(0)
