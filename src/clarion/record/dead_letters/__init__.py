"""Dead letters: looked for, looked at, edited and replayed."""
