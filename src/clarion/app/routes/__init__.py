"""The routes of the API, one file a part. `all_routes.py` lists them."""
