"""Languages: templates, expressions and schemas that tenants write, each run within limits."""
