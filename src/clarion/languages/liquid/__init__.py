"""Liquid templates with every limit set, and a split/join fast path for plain ones."""
