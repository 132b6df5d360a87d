"""Continuous recording: segments of video with retention."""
