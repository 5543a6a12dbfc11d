"""Pure rules of deliver: rendering, throttling, breaking, retrying, failover. No clock, chance, I/O or logging."""
