"""Bench: the cost of a notification, measured on real processes and reconciled with the messages that the provider
received."""
