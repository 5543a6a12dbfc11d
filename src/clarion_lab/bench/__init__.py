"""Bench: what a notification costs, measured on real processes and reconciled with what the provider received."""
