"""`clarion demo`: a whole installation with sample data, real mail to a local receiver, and a table of what happened."""
