"""Embedded people: motion-captured clips on parametric bodies, drawn by NumPy and OpenCV; nothing is downloaded."""
