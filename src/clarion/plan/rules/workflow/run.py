"""The state of one move of an instance: the changes and effects of its steps."""

from typing import Any

import msgspec

from clarion.domain.workflow import Step, Workflow, follows
from clarion.plan.rules.workflow.moments import instant_text
from clarion.plan.rules.workflow.state import Effect, Ending, InstanceFacts, Move, ProgressLine, State, Waiting


class Run:
    """Works on a copy of the state; `move` returns the original object when nothing changed."""

    def __init__(self, state: State, workflow: Workflow, facts: InstanceFacts) -> None:
        self.workflow = workflow
        self.facts = facts
        self.effects: list[Effect] = []
        self.ended: Ending | None = None
        self.state = msgspec.structs.replace(state, variables={**state.variables}, results={**state.results})
        self._before = state
        self._index = next((i for i, step in enumerate(workflow.steps) if step.name == state.step), 0)

    @property
    def step(self) -> Step:
        """The instance's current step."""
        return self.workflow.steps[self._index]

    def enter(self, name: str) -> Step:
        """Make the step of that name the current one and return it."""
        self._index = next(i for i, step in enumerate(self.workflow.steps) if step.name == name)
        self.state.step = name
        self.state.steps_taken += 1
        return self.step

    def go(self, way: str = "next") -> str:
        """Leave the step and return the name of the next one on this branch."""
        self.state.waiting = None
        return follows(self.workflow, self._index)[way]

    def wait(self, waiting: Waiting, detail: str = "") -> None:
        """Wait in the step; timers and answers of an earlier wait are ignored from now on."""
        again = self.state.waiting is not None and self.state.waiting.kind == waiting.kind
        self.state.seq += 1
        self.state.waiting = waiting
        if detail or not again:
            self.log_progress("waiting", detail or f"for {waiting.kind} until {instant_text(waiting.until_ms)}")

    def result(self, **result: Any) -> None:
        """Store the step's result, which expressions read as `steps.<name>`."""
        self.state.results[self.step.name] = result

    def log_progress(self, event: str, detail: str = "") -> None:
        """Add a progress line."""
        self.effects.append(ProgressLine(event, self.state.step, detail))

    def value(self, expression: str, **more: Any) -> Any:
        """Return the value of an expression over the instance's values. Raises `NoValue`."""
        state, facts = self.state, self.facts
        # Seen receipts cost a look-up, so they are read only for expressions that mention them.
        results = self._with_seen() if "seen" in expression else state.results
        names = {
            "data": facts.data, "user": facts.user, "steps": results, "vars": state.variables, "digest": state.digest,
        }  # fmt: skip
        return facts.evaluate(expression, {**names, **more})

    def was_seen(self, step: str) -> bool:
        """Return whether the user has seen the notification since a step sent it."""
        result = self.state.results.get(step, {})
        if result.get("seen"):
            return True
        sent_at, seen_ms = result.get("sent_at"), self.facts.history.seen_ms()
        return sent_at is not None and seen_ms is not None and instant_text(seen_ms) >= sent_at

    def end_wait_seen(self, step: str) -> None:
        """Store that the wait ended because the user saw a step's notification. The signal may arrive before the seen
        receipt is recorded."""
        self.state.results[step] = {**self.state.results.get(step, {}), "seen": True}
        self.result(outcome="seen")

    def end(self, ending: Ending, detail: str = "") -> Move:
        """End the instance and return the move; earlier effects still happen."""
        self.ended = ending
        self.log_progress(ending, detail)
        return self.move()

    def move(self) -> Move:
        """Return the resulting move."""
        changed = self.effects or self.state != self._before
        return Move(self.state if changed else self._before, self.effects, self.ended)

    def _with_seen(self) -> dict[str, dict[str, Any]]:
        return {
            name: {**result, "seen": self.was_seen(name)} if "sent_at" in result else result
            for name, result in self.state.results.items()
        }
