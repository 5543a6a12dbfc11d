"""Event rules: what an event of the tenant's world makes, for whom, and when."""
