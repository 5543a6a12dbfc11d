"""docs/states.md holds the diagram that the state machine generates."""

from pathlib import Path

from clarion.domain.delivery_state import diagram

PAGE = Path(__file__).parents[3] / "docs" / "states.md"


def test_the_page_of_states_is_current():
    text = PAGE.read_text(encoding="utf-8")
    shown = text.split("```mermaid\n", 1)[1].split("```", 1)[0]
    assert shown == diagram(), "docs/states.md: replace the diagram by what domain/delivery_state.py:diagram() returns"
