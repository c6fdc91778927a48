"""Embedded faces: heads of a parametric model with drawn expressions, painted by NumPy and OpenCV; nothing is downloaded."""
