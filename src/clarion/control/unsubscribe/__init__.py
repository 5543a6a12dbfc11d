"""Unsubscribing by a link in an e-mail, in one click (RFC 8058)."""
