"""Send: one attempt of one delivery. Render, build, call the provider, read the response into an outcome."""
