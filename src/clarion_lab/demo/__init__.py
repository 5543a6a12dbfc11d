"""`clarion demo`: a whole installation with sample data, real mail to a local mail server, and a table of the
results."""
