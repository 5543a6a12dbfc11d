"""What checkouts on one machine share and keep apart: one lock, ports, temporary files, and each its own code."""
