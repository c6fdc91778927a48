"""FlexPose: adapt a pose distribution with a dozen annotations, and no source images (arXiv 2412.13463)."""

__version__ = "0.1.0"
