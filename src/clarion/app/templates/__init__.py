"""Templates as code: folders of files read, checked, compared with what a tenant has, and brought there."""
