"""The base of every other room: files, redaction, text, arguments. It imports nothing else of the package but errors."""
