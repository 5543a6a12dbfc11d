"""The ports of Clarion: protocols, one small file each; `backends/` implements them."""
