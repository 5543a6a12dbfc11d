"""Pure rules of wait: which timers are due and what each one becomes. No clock, chance, I/O or logging."""
