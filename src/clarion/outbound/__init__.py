"""Outbound: guarded calls to other machines, and the secrets that they need."""
