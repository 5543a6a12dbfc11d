"""Advancing a workflow instance: pure functions from its state, a cause and facts to its next state and effects."""
