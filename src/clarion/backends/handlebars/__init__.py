"""Handlebars and Mustache templates: handlebars.js in a JavaScript engine without I/O, with its time and memory bounded."""
