"""What each kind of step does when an instance comes to it."""

from typing import Any, Final

from clarion.domain import workflow as steps
from clarion.domain.duration import duration_ms
from clarion.domain.limits_deciding import FETCH_GRACE_MS
from clarion.plan.rules.workflow.moments import instant_ms, instant_text, next_at
from clarion.plan.rules.workflow.placeholders import filled_header, filled_url
from clarion.plan.rules.workflow.run import Run
from clarion.plan.rules.workflow.state import Call, Deliver, Join, NoValue, Passed, Waiting
from clarion.plan.rules.workflow.throttle import admitted

_KEY_TYPES: Final = (str, int, float, bool)


def enter(run: Run, name: str) -> str | None:
    """Come to the step of that name; return the one to go to next, None when the instance now waits. Raises `NoValue`."""
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
            # All see the values as they were before the step.
            run.state.variables.update({key: run.value(text) for key, text in step.values.items()})
            run.told("step")
            return run.go()


def _send(run: Run, step: steps.Send) -> str:
    data = {**run.facts.data, **{key: run.value(text) for key, text in step.data.items()}}
    if run.state.digest:
        data.setdefault("digest", run.state.digest)
    run.effects.append(Deliver(step, data))
    run.result(sent_at=instant_text(run.facts.now_ms))
    run.told("step")
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
        run.told("step", f"{instant_text(until_ms)} is over")
        return run.go()
    run.park(Waiting("delay", until_ms))
    return None


def _digest(run: Run, step: steps.Digest) -> None:
    key = _key(run, step.key)
    run.park(Waiting("digest", 0), "in a digest")
    run.effects.append(Join(step, key))


def _throttle(run: Run, step: steps.Throttle) -> str:
    key, per_ms = _key(run, step.key), duration_ms(step.per)
    times_ms = admitted(run.facts.past.passed(step.name, key), step.limit, per_ms, run.facts.now_ms)
    run.result(passed=times_ms is not None)
    if times_ms is None:
        run.told("step", f"over {step.limit} in {step.per}")
        return run.go("otherwise")
    run.effects.append(Passed(step.name, key, times_ms, per_ms))
    run.told("step")
    return run.go()


def _condition(run: Run, step: steps.Condition) -> str:
    value = run.value(step.if_)
    if not isinstance(value, bool):
        raise NoValue(f"{step.if_[:80]!r} gave neither true nor false")
    run.result(value=value)
    run.told("step", "true" if value else "false")
    return run.go("then" if value else "otherwise")


def _wait_until(run: Run, step: steps.WaitUntil) -> str | None:
    until_ms = run.facts.now_ms + duration_ms(step.timeout)
    if step.seen is None:
        run.park(Waiting("event", until_ms))
        return None
    if run.saw(step.seen):
        run.result(outcome="seen")
        run.told("step", "seen")
        return run.go()
    run.park(Waiting("seen", until_ms))
    return None


def begin_call(run: Run, step: steps.Fetch, tries: int, lost: int) -> None:
    """Make a call of a fetch step. Should whoever makes it die, it counts as lost when the wait is over."""
    url = filled_url(step.url, run.value)
    headers = {name: filled_header(text, run.value) for name, text in step.headers.items()}
    body = None if step.body is None else run.value(step.body)
    until_ms = run.facts.now_ms + duration_ms(step.timeout) + FETCH_GRACE_MS
    run.park(Waiting("fetch", until_ms, tries=tries, lost=lost))
    run.effects.append(Call(step, url, headers, body))


def _key(run: Run, expression: str | None) -> str:
    value: Any = "" if expression is None else run.value(expression)
    if not isinstance(value, _KEY_TYPES):
        raise NoValue(f"{str(expression)[:80]!r} gave no text or number for a key")
    return str(value)
