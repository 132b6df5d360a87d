"""What people said of a camera's events, and what follows from it: thresholds at once, a last layer on request."""
