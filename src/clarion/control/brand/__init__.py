"""The brand of a tenant: the design of its templates, read when they are rendered."""
