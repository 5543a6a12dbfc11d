"""Many clients of the gateway at once: how much each costs, and whether what was cut comes back whole."""
