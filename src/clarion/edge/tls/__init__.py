"""TLS of the HTTP API: the files of its certificate, the contexts made of them, their renewal, and the listener."""
