"""Figures of detections and of pose distributions."""

PIXELS = 128
"""Side of the image that all figures in px are of, whatever size is computed at."""
