"""SMS vendors, one file each."""
