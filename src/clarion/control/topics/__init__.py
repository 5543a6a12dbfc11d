"""Topics: named lists of users and their members."""
