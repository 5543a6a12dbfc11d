"""Ways in: one folder a transport. Each turns calls into typed requests, and none decides."""
