"""Templates as files: reading and writing the folder format of `clarion templates` and of the starter catalogue."""
