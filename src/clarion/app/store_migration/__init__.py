"""Moving a stopped installation from one engine to another: `clarion migrate-store`."""
