"""Provider accounts: credentials (write-only), limits and order of preference per tenant."""
