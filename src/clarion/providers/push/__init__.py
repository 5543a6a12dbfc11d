"""Mobile push vendors, one file each."""
