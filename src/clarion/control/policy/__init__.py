"""Policy: what holds for everyone of a tenant unless something more specific says otherwise: quiet hours and caps."""
