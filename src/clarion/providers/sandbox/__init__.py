"""Sandbox: a vendor for every channel; keeps what it gets for people to look at, fails as real ones do."""
