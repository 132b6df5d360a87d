"""The base of every other room: files, redaction, text, arguments. It imports only errors of the package."""
