"""Sandbox: a vendor for every channel that captures messages for inspection and fails as real vendors do."""
