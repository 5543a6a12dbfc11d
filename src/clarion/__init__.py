"""Clarion: one API that decides who is notified, on which channel, when and through which provider."""

__version__ = "0.1.0"
