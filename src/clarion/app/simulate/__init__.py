"""The simulator: one process that plays FCM, a webhook endpoint and a mail server, and writes down all it receives."""
