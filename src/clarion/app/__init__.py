"""App: configuration, wiring, processes and the command line; the only place that sees everyone."""
