"""Workflow instances: durable state in cells of the partition that owns their user, advanced one commit at a time."""
