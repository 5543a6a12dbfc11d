"""Real servers of others, started for a run and ended with it."""
