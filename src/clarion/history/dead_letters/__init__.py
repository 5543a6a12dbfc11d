"""Dead letters: search, inspection, edit and replay."""
