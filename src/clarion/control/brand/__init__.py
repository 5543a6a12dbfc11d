"""The brand of a tenant: what its templates look like, read when they are rendered."""
