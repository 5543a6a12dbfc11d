"""Pure rules of feedback: what a receipt is worth. No clock, chance, I/O or logging."""
