"""Chaos: breaks a running system on purpose and checks its guarantees against independent evidence."""
