"""Content: how a template becomes a message. Built once when it is published, rendered for each delivery."""
