"""HTTP: the routes of all stages as one ASGI application and one OpenAPI document."""
