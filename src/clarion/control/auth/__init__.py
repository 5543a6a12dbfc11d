"""Auth: credentials, with the tenant and scopes of each."""
