"""Labelled clips: found, split, decoded once, recorded."""
