"""Handlebars and Mustache: handlebars.js in a JavaScript runtime without I/O, with time and memory bounded."""
