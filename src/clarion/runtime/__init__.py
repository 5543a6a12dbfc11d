"""Runtime: what long-running loops share. Leases, watches, waits for stores, shared counts, and the refresh of what is cached."""
