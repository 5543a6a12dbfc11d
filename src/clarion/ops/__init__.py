"""Ops: metrics, logging and health, behind their ports."""
