"""Web push: messages to browser subscriptions."""
