"""Auth: credentials, and the tenant and scopes that each one stands for."""
