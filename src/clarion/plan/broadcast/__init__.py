"""Broadcast planning: a cursor walks the audience page by page; tenants take turns by deficit round robin."""
