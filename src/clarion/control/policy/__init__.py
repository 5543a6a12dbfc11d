"""Policy: the defaults of a tenant's users, unless something more specific overrides them: quiet hours and caps."""
