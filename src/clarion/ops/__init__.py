"""Ops: clock, metrics, logging and health, behind their ports."""
