"""Suppressions: addresses nobody may send to, and why."""
