"""Edge: the HTTP/1 server. Any client that can connect can send bytes, so every wait, size and count has a bound."""
