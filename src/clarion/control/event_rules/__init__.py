"""Event rules: the notifications that a tenant's domain event creates, their recipients and conditions."""
