"""Partition: consuming one channel's deliveries of one partition under one lease: recover, intend, send, record, commit."""
