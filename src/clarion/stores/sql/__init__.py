"""What engines with SQL store in the same way: statements built by SQLAlchemy Core, compiled for each dialect."""
