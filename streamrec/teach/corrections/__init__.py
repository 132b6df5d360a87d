"""Corrections of a camera's events, and what follows from them: thresholds at once, a last layer on request."""
