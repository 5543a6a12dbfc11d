"""SQLite stores: `control.db`, `journal.db` and `state.db`, one file per concern."""
