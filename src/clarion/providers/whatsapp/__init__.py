"""WhatsApp vendors, one file each."""
