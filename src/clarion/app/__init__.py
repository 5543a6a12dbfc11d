"""App: configuration, wiring and entry points; the only place that sees everyone."""
