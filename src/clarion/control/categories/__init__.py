"""Categories of notifications: the rows of the preference matrix."""
