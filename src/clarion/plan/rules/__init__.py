"""Pure rules of plan: audience, preferences, quiet hours, routing. No clock, chance, I/O or logging."""
