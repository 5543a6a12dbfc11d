"""Pure rules of identity: the scopes of keys, and their time. No clock, chance, I/O or logging."""
