"""Memory backend: the reference implementation of every contract suite, not a mock."""
