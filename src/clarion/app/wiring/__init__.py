"""Wiring: the parts of a process, built from its configuration. No decision is made here."""
