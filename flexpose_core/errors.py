"""What FlexPose raises when the input, not the code, is wrong.

Every message is one line that names the file or key, what was expected and what was found.
"""


class FlexPoseError(Exception):
    """Base of all errors that a user can cause and mend."""


class ConfigError(FlexPoseError):
    """An option is unknown, out of range, or contradicts another one."""


class DataError(FlexPoseError):
    """A data file, or a record in it, is not what its format promises."""


class CheckpointError(FlexPoseError):
    """A weights file is damaged, foreign, or belongs to another architecture."""


class OutputError(FlexPoseError):
    """An output could not be written whole."""


class TrainingError(FlexPoseError):
    """A training left the numbers it can recover from."""


class StoppedError(FlexPoseError):
    """A training was told to stop (SIGTERM), and goes on when the same command is given again."""
