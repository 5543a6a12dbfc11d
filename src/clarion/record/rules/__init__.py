"""Pure rules of record: how outcomes and receipts fold into state and counts. No clock, chance, I/O or logging."""
