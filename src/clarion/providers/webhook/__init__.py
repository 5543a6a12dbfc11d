"""Webhooks: signed calls to an address of the tenant's own."""
