"""Journal: the meaning of its records. Event types, codec and versions, partition key, frames."""
