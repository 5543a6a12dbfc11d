"""In-app: the channel whose provider is our own inbox."""
