"""Signing in at identity providers by OpenID Connect: the code flow with PKCE."""
