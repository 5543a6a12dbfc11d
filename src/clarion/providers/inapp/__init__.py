"""In-app: the channel whose provider is Clarion's own inbox."""
