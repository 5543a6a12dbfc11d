"""Journal: what its records mean. Event types, codec and versions, partition key, frames."""
