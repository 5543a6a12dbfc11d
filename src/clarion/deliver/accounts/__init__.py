"""The accounts a delivery can go through: how they stand, how fast they may be used, and which one is next."""
