"""Pure rules of feedback: times, addresses and durations of receipts. No clock, chance, I/O or logging."""
