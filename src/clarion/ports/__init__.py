"""The ports of Clarion: protocols, one small file each; `stores`, `languages`, `outbound` and `ops` implement them."""
