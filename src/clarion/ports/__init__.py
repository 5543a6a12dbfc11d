"""Seams of Clarion as protocols, one small file each; `backends/` implements them."""
