"""History: what was recorded, as the API reads it, and deliveries that were given up."""
