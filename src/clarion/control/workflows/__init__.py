"""Workflows: named steps that turn a trigger into deliveries, checked whole when they are stored."""
