"""Suppressions: addresses to which nothing is sent, with the reason."""
