"""Memory backend: the referee model of every contract suite, not a mock."""
