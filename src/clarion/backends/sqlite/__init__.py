"""SQLite backend: the embedded journal and store that a first start uses."""
