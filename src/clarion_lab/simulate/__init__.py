"""The simulator: one process that plays every HTTP vendor, a webhook endpoint and a mail server, and records all
messages."""
