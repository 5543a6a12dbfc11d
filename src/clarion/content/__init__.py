"""Content: templates are built once when they are published, and rendered to a message for each delivery."""
