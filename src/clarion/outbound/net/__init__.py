"""Network backend: the egress ports. Guarded HTTP client and SMTP sessions, which refuse private addresses."""
