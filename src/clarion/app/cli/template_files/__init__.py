"""Templates as code: folders of files are read, checked, compared with a tenant's definitions, and stored there."""
