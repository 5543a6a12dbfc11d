"""The domain model: frozen values, the state machine of a delivery, outcomes and reasons. Imports no other package of
Clarion."""
