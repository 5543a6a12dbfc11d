"""People: roles and members of tenants, sessions, and how people sign in."""
