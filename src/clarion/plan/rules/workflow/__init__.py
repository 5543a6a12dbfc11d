"""How a workflow instance goes on: pure functions from its state, a cause and facts to its next state and effects."""
