"""Layouts and partials: what templates share. A change is built into all of them before it is stored."""
