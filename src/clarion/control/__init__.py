"""Control: what an operator or product person sets up. Off the hot path; one folder an area: rules and routes."""
