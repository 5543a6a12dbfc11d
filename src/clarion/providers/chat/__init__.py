"""Chat vendors, one file each."""
