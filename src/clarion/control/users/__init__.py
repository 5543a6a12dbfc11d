"""Users: contacts, devices, locale, zone, attributes and preferences of the people a tenant notifies."""
