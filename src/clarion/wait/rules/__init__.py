"""Pure rules of wait: how long the scheduler pauses until the next timer is due. No clock, chance, I/O or logging."""
