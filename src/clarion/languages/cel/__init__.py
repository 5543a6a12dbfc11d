"""Expressions in CEL, within limits."""
