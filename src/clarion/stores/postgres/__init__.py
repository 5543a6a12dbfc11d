"""Stores on a PostgreSQL server, version 15 or newer, shared by any number of machines."""
