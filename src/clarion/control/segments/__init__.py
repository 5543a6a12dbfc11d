"""Segments: named filters over users, counted before they are used."""
