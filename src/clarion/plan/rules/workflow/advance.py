"""The workflow state machine: a state, a cause and facts give the next state, effects, and the ending if there is one.

A cause that does not match the instance's current step changes nothing, so late and repeated causes are harmless. Steps
form no cycle, so every move terminates: in a step that waits, or at the end.
"""

from typing import Any, Final, TypeAlias

from clarion.domain import workflow as steps
from clarion.domain.limits import FETCH_PAUSE_MS_MAX, INSTANCE_STEPS_MAX
from clarion.domain.limits_processes import FETCH_LOST_MAX
from clarion.domain.workflow import END, Workflow
from clarion.plan.rules.workflow.enter import begin_call, enter
from clarion.plan.rules.workflow.moments import instant_text
from clarion.plan.rules.workflow.run import Run
from clarion.plan.rules.workflow.state import (
    Cause,
    DigestClosed,
    FetchAnswered,
    InstanceFacts,
    Move,
    NoValue,
    SignalReceived,
    State,
    TimerFired,
    Triggered,
    Waiting,
)

_FETCH_PAUSE_MS: Final = 1_000
Resumed: TypeAlias = str | None
"""The name of the next step, or None while the instance keeps waiting."""


def advance(state: State, workflow: Workflow, cause: Cause, facts: InstanceFacts) -> Move:
    """Return the move that a cause makes at `facts.now_ms`. An expression without a value ends the instance as failed,
    with the step and the reason; the effects of earlier steps of the same move still happen."""
    run = Run(state, workflow, facts)
    if state.expires_ms is not None and facts.now_ms >= state.expires_ms:
        return run.end("expired", f"at {instant_text(state.expires_ms)}")
    try:
        place = _resume(run, cause)
        while place is not None and run.ended is None:
            if place == END:
                return run.end("completed")
            if run.state.steps_taken >= INSTANCE_STEPS_MAX:
                return run.end("failed", f"took more than {INSTANCE_STEPS_MAX} steps")
            place = enter(run, place)
    except NoValue as error:
        return run.end("failed", f"step {run.state.step}: {error}")
    return run.move()


def _resume(run: Run, cause: Cause) -> Resumed:
    waiting = run.state.waiting
    if waiting is None:
        if isinstance(cause, Triggered) and not run.state.step:
            run.log_progress("started")
            return run.workflow.steps[0].name
        return None
    match run.step, cause:
        case steps.Delay(), TimerFired():
            return _delay_due(run, waiting)
        case steps.Digest() as step, DigestClosed(items):
            run.state.digest = {"items": items, "count": len(items), "first": items[: step.first]}
            run.result(count=len(items))
            return run.go()
        case steps.WaitUntil() as step, TimerFired(at_ms):
            return _wait_due(run, step, waiting, at_ms)
        case steps.WaitUntil() as step, SignalReceived(data):
            return _receive_signal(run, step, data)
        case steps.Fetch() as step, FetchAnswered() as answer:
            return _receive_answer(run, step, waiting, answer)
        case steps.Fetch() as step, TimerFired():
            return _call_again(run, step, waiting)
        case _:
            return None


def _delay_due(run: Run, waiting: Waiting) -> Resumed:
    if run.facts.now_ms < waiting.until_ms:
        run.wait(waiting)  # the clock was set back since the timer fired
        return None
    return run.go()


def _wait_due(run: Run, step: steps.WaitUntil, waiting: Waiting, at_ms: int) -> Resumed:
    """Continue at the end of the wait. An earlier timer checks once more whether the notification was seen
    meanwhile."""
    if step.seen is not None and run.was_seen(step.seen):
        run.end_wait_seen(step.seen)
        return run.go()
    if run.facts.now_ms >= waiting.until_ms:
        run.result(outcome="timeout")
        return run.go("on_timeout")
    if at_ms >= waiting.until_ms:
        run.wait(waiting)  # the clock was set back since the timer fired
    return None


def _receive_signal(run: Run, step: steps.WaitUntil, data: dict[str, Any]) -> Resumed:
    """Continue if `where` is true. A condition without a value for this event is false: events need not have every
    field."""
    if step.seen is not None:
        run.end_wait_seen(step.seen)
        return run.go()
    try:
        holds = step.where is None or run.value(step.where, event=data) is True
    except NoValue:
        holds = False
    if not holds:
        return None
    run.result(outcome="event", event=data)
    return run.go()


def _receive_answer(run: Run, step: steps.Fetch, waiting: Waiting, answer: FetchAnswered) -> Resumed:
    if not answer.error:
        run.result(status=answer.status, body=answer.body)
        return run.go()
    tries = waiting.tries + 1
    if tries >= step.attempts:
        return _fetch_failed(run, step, answer.error)
    pause_ms = min(_FETCH_PAUSE_MS << (tries - 1), FETCH_PAUSE_MS_MAX)
    run.wait(Waiting("pause", run.facts.now_ms + pause_ms, tries=tries, lost=waiting.lost), answer.error)
    return None


def _call_again(run: Run, step: steps.Fetch, waiting: Waiting) -> Resumed:
    """Make the next call: the pause is over, or no response came because the process that made the call has died."""
    lost = waiting.lost + (waiting.kind == "fetch")
    if lost > FETCH_LOST_MAX:
        return _fetch_failed(run, step, f"no answer came back from {lost} calls")
    begin_call(run, step, waiting.tries, lost)
    return None


def _fetch_failed(run: Run, step: steps.Fetch, error: str) -> Resumed:
    run.result(error=error)
    if step.on_error == "end":
        run.end("failed", f"step {step.name}: {error}")
        return None
    return run.go()
