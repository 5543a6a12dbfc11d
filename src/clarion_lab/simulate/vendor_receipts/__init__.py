"""Delivery receipts of vendors, with their own bodies and signatures: an independent check of the code that parses
them, with which it shares nothing."""
