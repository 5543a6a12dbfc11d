"""Workflows: named steps that turn a trigger into deliveries, fully validated when they are stored."""
