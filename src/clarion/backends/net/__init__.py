"""Network backend: the egress port. Guarded HTTP client and SMTP session; private addresses are refused here."""
