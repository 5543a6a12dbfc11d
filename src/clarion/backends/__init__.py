"""Backends: implementations of the ports, one folder each. They never import each other."""
