"""Resources: what every kind of a tenant's definitions has in common over the API."""
