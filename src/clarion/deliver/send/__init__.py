"""Send: one attempt of one delivery. Render, build, call the provider, read its answer into the closed set of outcomes."""
