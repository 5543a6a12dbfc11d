"""Pure rules of inbox: inbox merging, read state, socket messages as data. No clock, chance, I/O or logging."""
