"""Options of the translation from skeletons to people, CycleGAN, and the architecture that its weights files state."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.errors import ConfigError

Count = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Widths = Annotated[tuple[Count, ...], Meta(min_length=1)]


class CycleGanArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is needed to build the networks.

    Parameters
    ----------
    size
        Side of the images in pixels.
    widths
        Channels of a generator's levels, the resolution halving from one to the next.
    blocks
        Residual blocks at the coarsest level.
    discriminator_widths
        Channels of a discriminator's layers before its last; all but the last of these halve the resolution, so that a score
        is of 16 px for two, 34 for three, 70 for four.
    """

    size: Annotated[int, Meta(ge=16)] = 64
    widths: Widths = (16, 32, 64)
    blocks: Count = 3
    discriminator_widths: Widths = (32, 64, 128)

    def check(self) -> None:
        """Raise ConfigError if the size cannot be halved as often as the widths ask."""
        for name in ("widths", "discriminator_widths"):
            count = len(getattr(self, name)) - 1
            if self.size % 2**count or self.size < 2 ** (count + 2):
                raise ConfigError(
                    f"cycle_gan: {name} of {getattr(self, name)} halve the size {count} times: expected a size that is a "
                    f"multiple of {2**count} and at least {2 ** (count + 2)}, found {self.size}"
                )


class CycleGanOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How skeletons and people are learnt to be turned into each other; sizes and widths are `CycleGanArchitecture`'s.

    Parameters
    ----------
    steps, batch, learning_rate
        Of the training; the rate rises over the first 50 steps, is flat until half way and then falls to 2 %. (The paper's is flat
        from the start and falls to nothing.)
    cycle_weight
        λ of Eq. 3.
    buffer
        Earlier translations that a discriminator is shown again (section 4).
    average_decay
        Of the exponential moving average of the generators that is kept.
    """

    size: int = 64
    widths: Widths = (16, 32, 64)
    blocks: Count = 3
    discriminator_widths: Widths = (32, 64, 128)
    steps: Count = 1600
    batch: Count = 4
    learning_rate: Positive = 7e-4
    cycle_weight: NotNegative = 10.0
    buffer: Annotated[int, Meta(ge=0)] = 50
    average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.99
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mixed_precision: bool = True

    def architecture(self) -> CycleGanArchitecture:
        """Return the architecture; raises ConfigError if the size does not fit the widths."""
        names = CycleGanArchitecture.__struct_fields__
        architecture = CycleGanArchitecture(**{name: getattr(self, name) for name in names})
        architecture.check()
        return architecture
