"""Load: real processes over loopback, requests from a cheap client, and the CPU time of each process."""
