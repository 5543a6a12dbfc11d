"""E-mail vendors, one file each."""
