"""Layouts and partials, which templates share. Before a change is stored, all templates that use it are rebuilt."""
