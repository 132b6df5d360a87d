"""The page, its API, and what guards them: whoever watches cameras may look from a browser."""
