"""Webhooks: signed calls to the tenant's own endpoints."""
