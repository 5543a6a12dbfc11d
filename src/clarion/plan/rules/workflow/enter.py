"""The effect of each kind of step when an instance enters it."""

from typing import Any, Final

from clarion.domain import workflow as steps
from clarion.domain.duration import duration_ms
from clarion.domain.limits_processes import FETCH_GRACE_MS
from clarion.plan.rules.workflow.moments import instant_ms, instant_text, next_at
from clarion.plan.rules.workflow.placeholders import filled_header, filled_url
from clarion.plan.rules.workflow.run import Run
from clarion.plan.rules.workflow.state import Deliver, HttpCall, Join, NoValue, ThrottlePass, Waiting
from clarion.plan.rules.workflow.throttle import admit

_KEY_TYPES: Final = (str, int, float, bool)


def enter(run: Run, name: str) -> str | None:
    """Enter the step of that name and return the name of the next one, None when the instance now waits. Raises
    `NoValue`."""
    step = run.enter(name)
    match step:
        case steps.Send():
            return _send(run, step)
        case steps.Delay():
            return _delay(run, step)
        case steps.Digest():
            _digest(run, step)
            return None
        case steps.Throttle():
            return _throttle(run, step)
        case steps.Condition():
            return _condition(run, step)
        case steps.WaitUntil():
            return _wait_until(run, step)
        case steps.Fetch():
            begin_call(run, step, tries=0, lost=0)
            return None
        case steps.Set():
            # All expressions see the variables as they were before the step.
            run.state.variables.update({key: run.value(text) for key, text in step.values.items()})
            run.log_progress("step")
            return run.go()


def _send(run: Run, step: steps.Send) -> str:
    data = {**run.facts.data, **{key: run.value(text) for key, text in step.data.items()}}
    if run.state.digest:
        data.setdefault("digest", run.state.digest)
    run.effects.append(Deliver(step, data))
    run.result(sent_at=instant_text(run.facts.now_ms))
    run.log_progress("step")
    return run.go()


def _delay(run: Run, step: steps.Delay) -> str | None:
    now_ms = run.facts.now_ms
    if step.at is not None:
        until_ms = next_at(step.at, step.days, run.facts.zone, now_ms)
    elif step.until is not None:
        until_ms = instant_ms(run.value(step.until), now_ms)
    else:
        until_ms = now_ms + duration_ms(step.for_ or "0s")
    if until_ms <= now_ms:
        run.log_progress("step", f"{instant_text(until_ms)} is over")
        return run.go()
    run.wait(Waiting("delay", until_ms))
    return None


def _digest(run: Run, step: steps.Digest) -> None:
    key = _key(run, step.key)
    run.wait(Waiting("digest", 0), "in a digest")
    run.effects.append(Join(step, key))


def _throttle(run: Run, step: steps.Throttle) -> str:
    key, per_ms = _key(run, step.key), duration_ms(step.per)
    times_ms = admit(run.facts.history.passed(step.name, key), step.limit, per_ms, run.facts.now_ms)
    run.result(passed=times_ms is not None)
    if times_ms is None:
        run.log_progress("step", f"over {step.limit} in {step.per}")
        return run.go("otherwise")
    run.effects.append(ThrottlePass(step.name, key, times_ms, per_ms))
    run.log_progress("step")
    return run.go()


def _condition(run: Run, step: steps.Condition) -> str:
    value = run.value(step.if_)
    if not isinstance(value, bool):
        raise NoValue(f"{step.if_[:80]!r} gave neither true nor false")
    run.result(value=value)
    run.log_progress("step", "true" if value else "false")
    return run.go("then" if value else "otherwise")


def _wait_until(run: Run, step: steps.WaitUntil) -> str | None:
    until_ms = run.facts.now_ms + duration_ms(step.timeout)
    if step.seen is None:
        run.wait(Waiting("event", until_ms))
        return None
    if run.was_seen(step.seen):
        run.result(outcome="seen")
        run.log_progress("step", "seen")
        return run.go()
    run.wait(Waiting("seen", until_ms))
    return None


def begin_call(run: Run, step: steps.Fetch, tries: int, lost: int) -> None:
    """Request a call of a fetch step. If the process that makes it dies, the call counts as lost when the wait is
    over."""
    url = filled_url(step.url, run.value)
    headers = {name: filled_header(text, run.value) for name, text in step.plain_headers.items()}
    body = None if step.body is None else run.value(step.body)
    until_ms = run.facts.now_ms + duration_ms(step.timeout) + FETCH_GRACE_MS
    run.wait(Waiting("fetch", until_ms, tries=tries, lost=lost))
    run.effects.append(HttpCall(step, url, headers, body))


def _key(run: Run, expression: str | None) -> str:
    value: Any = "" if expression is None else run.value(expression)
    if not isinstance(value, _KEY_TYPES):
        raise NoValue(f"{str(expression)[:80]!r} gave no text or number for a key")
    return str(value)
