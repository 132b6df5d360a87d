"""What every room stands on: files, redaction and text. It imports nothing of the package but errors."""
