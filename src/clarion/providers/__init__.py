"""Providers: one file a vendor (TRAITS, build(), read()). Pure functions: the deliver worker owns the socket."""
