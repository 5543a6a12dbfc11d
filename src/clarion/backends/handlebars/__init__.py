"""Handlebars and Mustache: handlebars.js in a JavaScript engine without I/O, its time and memory bounded."""
