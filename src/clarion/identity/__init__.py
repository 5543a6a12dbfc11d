"""Identity: who calls. API keys, user tokens, and the keys of operators."""
