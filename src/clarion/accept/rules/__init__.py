"""Pure rules of accept: validation, enrichment and idempotency verdicts. No clock, chance, I/O or logging."""
