"""Drafts that escape their engine are stopped: real processes, real limits."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import clarion
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField, Overloaded
from clarion.domain.limits_content import (
    CONFINED_CHILDREN_MAX,
    CONFINED_WAITING_PER_TENANT_MAX,
    DRAFT_BUILD_CPU_MS_MAX,
    DRAFT_RENDER_CPU_MS_MAX,
)
from clarion.domain.template import Source
from clarion.languages.confined import pool as pool_module
from clarion.languages.confined.child import Command
from clarion.languages.confined.landlock import ruleset
from clarion.languages.confined.pool import ConfinedDrafting
from clarion.ports.drafting import BuildJob, RenderJob
from clarion.testing.lines import Lines

pytestmark = pytest.mark.slow

HOSTILE = Path(__file__).with_name("hostile.py")
CODE = {"PYTHONPATH": str(Path(clarion.__file__).parents[1])}
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")


def build_of(act):
    return BuildJob(act, Source({Channel.SMS: {"body": act}}))


def render_of(act, *channels):
    template = Template(act, 1, None, {Channel.SMS: {"body": act}})
    return RenderJob(template, channels or (Channel.SMS,), {}, {}, "en", "UTC", 0)


def may_leave_network():
    return sys.platform == "linux" and subprocess.run(["unshare", "-Un", "true"], check=False).returncode == 0


@pytest.fixture
async def drafting(tmp_path):
    made = ConfinedDrafting(Command((sys.executable, "-P", str(HOSTILE), str(tmp_path / "flag")), CODE), Lines())
    yield made
    await made.close()


async def answer_of(drafting, act):
    rendered = await drafting.render(render_of(act))
    assert not rendered.errors
    return rendered.parts[Channel.SMS]["told"]


def children():
    return [child for child in psutil.Process().children(recursive=True) if str(HOSTILE) in child.cmdline()]


@pytest.mark.parametrize(
    "act", ["spin", "leave_the_timers", "hoard", "abort", "fault", "exit", "lie", "raise", "large"]
)
async def test_a_render_over_its_limits_fails_alone(drafting, act, monkeypatch):
    if act == "leave_the_timers":  # only the limit of elapsed time can stop it
        monkeypatch.setitem(pool_module.BOUNDS, b"R", pool_module.BOUNDS[b"R"]._replace(wait_ms=200))
    before = await answer_of(drafting, "pid")
    rendered = await drafting.render(render_of(act, Channel.SMS, Channel.PUSH))
    expected = {
        "spin": f"took more than {DRAFT_RENDER_CPU_MS_MAX} ms",
        "leave_the_timers": f"took more than {DRAFT_RENDER_CPU_MS_MAX} ms",
        "hoard": "took more memory than 64 MB",
        "abort": "took more memory than 64 MB",
        "large": "took more memory than 64 MB",
    }.get(act, "ended the process that worked on it")
    assert rendered.parts == {}
    assert {channel: expected in text for channel, text in rendered.errors.items()} == {
        Channel.SMS: True,
        Channel.PUSH: True,
    }
    after = await answer_of(drafting, "pid")
    assert after[0] != before[0]
    assert (after[1] == before[1]) == (act != "leave_the_timers")


@pytest.mark.parametrize(
    ("act", "code", "says"),
    [
        ("spin", "template_too_costly", f"{DRAFT_BUILD_CPU_MS_MAX} ms"),
        ("hoard", "template_too_costly", "256 MB"),
        ("fault", "template_crashed", "ended the process"),
        ("exit", "template_crashed", "ended the process"),
    ],
)
async def test_a_build_over_its_limits_is_refused(drafting, act, code, says):
    with pytest.raises(InvalidField, match=says) as error:
        await drafting.build(build_of(act))
    assert (error.value.code, error.value.field) == (code, "channels")


async def test_a_crash_is_logged_with_its_place_without_its_message(tmp_path):
    lines = Lines()
    drafting = ConfinedDrafting(Command((sys.executable, "-P", str(HOSTILE), str(tmp_path / "flag")), CODE), lines)
    await drafting.render(render_of("raise"))
    await drafting.close()
    ((level, event, fields),) = lines.faults
    assert (level, event) == ("warning", "draft_crashed")
    assert fields["error"].startswith(f"KeyError in {HOSTILE}, line ")
    assert "no such key" not in fields["error"]


async def test_the_refusal_of_a_field_is_returned_unchanged(drafting):
    with pytest.raises(InvalidField, match="is bad") as error:
        await drafting.build(build_of("refuse"))
    assert (error.value.code, error.value.field) == ("template_syntax", "channels.sms.body")


async def test_endless_recursion_is_refused(drafting):
    with pytest.raises(InvalidField, match="nested too deeply"):
        await drafting.build(build_of("recurse"))


async def test_memory_that_an_engine_missed_in_silence_is_named(drafting):
    rendered = await drafting.render(render_of("swallowed"))
    assert rendered.errors == {Channel.SMS: "the template took more memory than 64 MB"}


async def test_a_runaway_template_is_stopped_in_time(drafting):
    await answer_of(drafting, "pid")
    started = time.monotonic()
    await drafting.render(render_of("spin"))
    assert time.monotonic() - started < 10 * DRAFT_RENDER_CPU_MS_MAX / 1000


async def test_a_job_has_no_files_environment_or_past(drafting, tmp_path, monkeypatch):
    monkeypatch.setenv("CLARION_MASTER_KEY", "secret")
    assert await answer_of(drafting, "write") in ("OSError", "PermissionError")
    assert not (tmp_path / "flag.new").exists() or not (tmp_path / "flag.new").read_text()
    assert await answer_of(drafting, "files") == "OSError"
    assert await answer_of(drafting, "descriptors") == [0, 1, 2, 3]
    assert "secret" not in str(await answer_of(drafting, "environment"))
    await answer_of(drafting, "leave_behind")
    assert "left" not in await answer_of(drafting, "environment")


@pytest.mark.skipif(ruleset(()) is None, reason="the system has no Landlock")
async def test_a_job_can_read_its_code_and_nothing_else(drafting, tmp_path):
    (tmp_path / "flag").write_text("the master key")
    for act in ("read", "list", "processes", "execute"):
        assert await answer_of(drafting, act) == "PermissionError", act
    assert await answer_of(drafting, "import") == ["colorsys", "mailbox", "wave"]


async def test_without_landlock_a_job_has_its_other_limits(tmp_path):
    drafting = ConfinedDrafting(
        Command((sys.executable, "-P", str(HOSTILE), str(tmp_path / "flag"), "without-landlock"), CODE), Lines()
    )
    assert await answer_of(drafting, "descriptors") == [0, 1, 2, 3]
    assert await answer_of(drafting, "write") == "OSError"
    await drafting.close()


@pytest.mark.skipif(not may_leave_network(), reason="the system gives nobody a network of their own")
async def test_a_job_sees_no_network(drafting):
    assert set(await answer_of(drafting, "networks")) <= {"lo"}


async def test_a_killed_process_loses_only_its_own_job(drafting):
    doomed, fine = await asyncio.gather(drafting.render(render_of("kill_the_attendant")), answer_of(drafting, "pid"))
    assert doomed.errors == {Channel.SMS: "the template ended the process that worked on it"}
    assert len(fine) == 2
    assert len(await answer_of(drafting, "pid")) == 2


async def test_an_idle_process_that_was_killed_is_replaced(drafting):
    _, attendant = await answer_of(drafting, "pid")
    os.kill(attendant, signal.SIGKILL)
    await asyncio.to_thread(psutil.Process(attendant).wait, 5) if psutil.pid_exists(attendant) else None
    await asyncio.sleep(0.1)
    assert (await answer_of(drafting, "pid"))[1] != attendant


async def test_many_jobs_at_once_share_few_processes(drafting):
    pids = await asyncio.gather(*(answer_of(drafting, "pid") for _ in range(12)))
    assert len({own for own, _ in pids}) == 12
    assert len({attendant for _, attendant in pids}) == CONFINED_CHILDREN_MAX


async def test_a_job_beyond_the_queue_is_refused_at_once(drafting):
    taken = CONFINED_CHILDREN_MAX + CONFINED_WAITING_PER_TENANT_MAX
    answers = await asyncio.gather(
        *(drafting.render(render_of("pid")) for _ in range(taken + 1)), return_exceptions=True
    )
    assert [answer.retry_after_s for answer in answers if isinstance(answer, Overloaded)] == [1]
    assert sum(not isinstance(answer, BaseException) for answer in answers) == taken


async def test_a_cancelled_caller_leaves_no_answer_for_the_next(drafting):
    await answer_of(drafting, "pid")
    leaving = asyncio.create_task(drafting.build(build_of("spin")))
    await asyncio.sleep(0.2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert len(await answer_of(drafting, "pid")) == 2


async def test_a_process_is_replaced_after_its_share_of_jobs(drafting, monkeypatch):
    monkeypatch.setattr("clarion.languages.confined.child.CONFINED_JOBS_MAX", 2)
    attendants = [(await answer_of(drafting, "pid"))[1] for _ in range(4)]
    assert attendants[0] == attendants[1] != attendants[2] == attendants[3]


async def test_a_process_that_cannot_start_is_a_503(tmp_path):
    lines = Lines()
    drafting = ConfinedDrafting(Command((sys.executable, "-c", "pass"), {}), lines)
    with pytest.raises(Overloaded) as error:
        await drafting.render(render_of("pid"))
    assert error.value.retry_after_s == 5
    assert [event for _, event, _ in lines.faults] == ["drafting_unavailable"]


async def test_closing_leaves_no_process_behind(drafting):
    await asyncio.gather(answer_of(drafting, "pid"), answer_of(drafting, "pid"))
    assert len(children()) == CONFINED_CHILDREN_MAX
    await drafting.close()
    assert children() == []


async def test_a_process_ends_with_its_caller(tmp_path):
    """The calling process is killed in the middle of a job: the attendant and the job end by themselves."""
    reading, writing = os.pipe()
    script = tmp_path / "asker.py"
    script.write_text(ASKER)
    asker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(script),
        str(HOSTILE),
        str(writing),
        pass_fds=(writing,),
        stdin=asyncio.subprocess.DEVNULL,
    )
    os.close(writing)
    attendant = psutil.Process(int(await asyncio.to_thread(os.read, reading, 20)))
    os.close(reading)
    while not attendant.children():  # noqa: ASYNC110 - no event announces a started process
        await asyncio.sleep(0.01)
    (cell,) = attendant.children()
    asker.kill()
    await asker.wait()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, [attendant, cell], 20)
    assert (len(gone), alive) == (2, [])


ASKER = """
import asyncio, os, sys
from clarion.languages.confined.child import ConfinedChild, Command
from clarion.languages.confined.wire import job_frame
from clarion.domain.template import Source
from clarion.ports.drafting import BuildJob

async def main():
    child = await ConfinedChild.start(Command((sys.executable, "-P", sys.argv[1], "flag"), dict(os.environ)))
    os.write(int(sys.argv[2]), str(child.pid).encode())
    await child.ask(job_frame(BuildJob("spin", Source({}))))

asyncio.run(main())
"""
