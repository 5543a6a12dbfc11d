"""One move of an instance under way: what steps change, and what they ask for."""

from typing import Any

import msgspec

from clarion.domain.workflow import Step, Workflow, follows
from clarion.plan.rules.workflow.moments import instant_text
from clarion.plan.rules.workflow.state import Effect, Ending, Facts, Move, State, Told, Waiting


class Run:
    """Works on a copy of the state; `move` gives back the very same state when nothing changed."""

    def __init__(self, state: State, workflow: Workflow, facts: Facts) -> None:
        self.workflow = workflow
        self.facts = facts
        self.effects: list[Effect] = []
        self.ended: Ending | None = None
        self.state = msgspec.structs.replace(state, variables={**state.variables}, results={**state.results})
        self._before = state
        self._index = next((i for i, step in enumerate(workflow.steps) if step.name == state.step), 0)

    @property
    def step(self) -> Step:
        """The step the instance stands in."""
        return self.workflow.steps[self._index]

    def enter(self, name: str) -> Step:
        """Stand in the step of that name and return it."""
        self._index = next(i for i, step in enumerate(self.workflow.steps) if step.name == name)
        self.state.step = name
        self.state.taken += 1
        return self.step

    def go(self, way: str = "next") -> str:
        """Leave the step and return the name of the one that follows on this way."""
        self.state.waiting = None
        return follows(self.workflow, self._index)[way]

    def park(self, waiting: Waiting, detail: str = "") -> None:
        """Stand still in the step; whatever was set off for an earlier wait now comes too late."""
        again = self.state.waiting is not None and self.state.waiting.kind == waiting.kind
        self.state.seq += 1
        self.state.waiting = waiting
        if detail or not again:
            self.told("waiting", detail or f"for {waiting.kind} until {instant_text(waiting.until_ms)}")

    def result(self, **result: Any) -> None:
        """Keep what came of the step, as `steps.<name>` of expressions."""
        self.state.results[self.step.name] = result

    def told(self, event: str, detail: str = "") -> None:
        """Add to the instance's story."""
        self.effects.append(Told(event, self.state.step, detail))

    def value(self, expression: str, **more: Any) -> Any:
        """Return the value of an expression over what the instance knows. Raises `NoValue`."""
        state, facts = self.state, self.facts
        # Who has seen what costs a look-up, so only expressions that speak of it get to know.
        results = self._with_seen() if "seen" in expression else state.results
        names = {
            "data": facts.data, "user": facts.user, "steps": results, "vars": state.variables, "digest": state.digest,
        }  # fmt: skip
        return facts.evaluate(expression, {**names, **more})

    def saw(self, step: str) -> bool:
        """Return whether the person has seen the notification since a step sent it."""
        result = self.state.results.get(step, {})
        if result.get("seen"):
            return True
        sent_at, seen_ms = result.get("sent_at"), self.facts.past.seen_ms()
        return sent_at is not None and seen_ms is not None and instant_text(seen_ms) >= sent_at

    def seen(self, step: str) -> None:
        """Keep that the wait ended with a sighting of what a step sent. Who waits may hear of it before it is recorded."""
        self.state.results[step] = {**self.state.results.get(step, {}), "seen": True}
        self.result(outcome="seen")

    def end(self, ending: Ending, detail: str = "") -> Move:
        """End the instance; what was asked for before still happens."""
        self.ended = ending
        self.told(ending, detail)
        return self.move()

    def move(self) -> Move:
        """Return what the move comes to."""
        changed = self.effects or self.state != self._before
        return Move(self.state if changed else self._before, self.effects, self.ended)

    def _with_seen(self) -> dict[str, dict[str, Any]]:
        return {
            name: {**result, "seen": self.saw(name)} if "sent_at" in result else result
            for name, result in self.state.results.items()
        }
