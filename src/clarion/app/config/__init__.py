"""Configuration: one typed value, read once at the start of a process and passed on from there.

Each section stands in a file of its part; `settings.py` puts them together, `loading.py` reads them.
"""
