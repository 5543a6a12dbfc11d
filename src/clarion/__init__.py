"""Clarion: one API that decides who is told, on which channel, when and through whom, and can say why."""

__version__ = "0.1.0"
