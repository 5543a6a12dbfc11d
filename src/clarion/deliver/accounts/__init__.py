"""The accounts a delivery can go through: their health, how fast they may be used, and which one is next."""
