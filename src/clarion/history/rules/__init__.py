"""Pure rules of history: the timeline of a notification. No clock, chance, I/O or logging."""
