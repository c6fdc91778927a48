"""Typed, frozen options: one module a stage, so that a stage's code stamp covers its own options and no others.

Nothing here imports torch: reading the configuration must be quick.
"""
