"""Pure rules of accept: checks of fields and attachments, event rules, quotas. No clock, chance, I/O or logging."""
