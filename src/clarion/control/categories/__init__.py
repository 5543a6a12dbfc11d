"""Categories: what notifications are about; the rows of the preference matrix."""
