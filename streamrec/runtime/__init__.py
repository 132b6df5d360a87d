"""A model file and what runs it."""
