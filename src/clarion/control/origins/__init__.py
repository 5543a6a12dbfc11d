"""Origins: the web pages that may call the API with a tenant's user tokens."""
