"""Pure rules of deliver: order of accounts, throttling, circuit breakers, retry and failover. No clock, chance, I/O or logging."""
