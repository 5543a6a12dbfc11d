"""Chaos: break a running system on purpose and let independent evidence judge what it promised."""
