"""Templates: versioned, localized content per channel; publish, roll back, preview."""
