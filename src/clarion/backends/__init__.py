"""Backends: implementations of the ports, one folder an engine. They never import each other."""
