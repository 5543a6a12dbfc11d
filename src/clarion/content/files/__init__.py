"""Templates as files: the one folder format of `clarion templates` and of the starter catalogue, both ways."""
