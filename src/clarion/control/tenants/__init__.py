"""Tenants: the isolated customers of an installation and their quotas."""
