"""Settings of Hypercorn as APNs: HTTP/2 only, and GOAWAY after some calls."""

alpn_protocols = ["h2"]
keep_alive_max_requests = 120
h2_max_concurrent_streams = 100
graceful_timeout = 0
