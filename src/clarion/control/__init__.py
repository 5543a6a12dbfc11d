"""Control: the configuration of tenants by operators and product staff. Off the hot path; one folder an area: rules and
routes."""
