"""JSON Schemas by jsonschema-rs, with their work bounded before they are compiled."""
