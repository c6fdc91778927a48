"""Options of the detector, KeypointGAN, and the architecture that its weights files state."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.errors import ConfigError

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Widths = tuple[Count, ...]
FADE = 0.3
"""Share of the steps over which Φ comes to see beyond what is near."""
Contrast = Literal["none", "local"]


class DetectorArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is needed to build the four networks.

    A tuple of widths holds the channels of a network's levels, the resolution halving from one to the next. `contrast` is what
    images undergo before any network sees them: "local" as in `rendering.contrast`, "none" nothing. With `symmetric`, Φ of a
    mirrored image is the mirrored Φ of the image.
    """

    joints: Annotated[int, Meta(ge=1)]
    size: Annotated[int, Meta(ge=16)] = 32
    image_widths: Widths = (16, 32, 64, 96)
    eta_widths: Widths = (24, 48, 96)
    decoder_widths: Widths = (16, 32, 64, 96)
    discriminator_widths: Widths = (24, 48, 96)
    contrast: Contrast = "none"
    symmetric: bool = False

    def check(self) -> None:
        """Raise ConfigError if the size cannot be halved as often as the widths ask."""
        halvings = {
            "image_widths": len(self.image_widths) - 1,
            "eta_widths": len(self.eta_widths),
            "decoder_widths": len(self.decoder_widths) - 1,
            "discriminator_widths": len(self.discriminator_widths),
        }
        for name, count in halvings.items():
            if count < 1 or self.size % 2**count or self.size < 2 ** (count + 1):
                raise ConfigError(
                    f"detector: {name} of {getattr(self, name)} halve the size {count} times: expected a size that is "
                    f"a multiple of {2**count} and at least {2 ** (count + 1)}, found {self.size}"
                )


class EtaOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How η is pretrained: `jitter`, of a pose's place, in fractions of the side, pixel `noise` in units of -1..1."""

    steps: Count = 1000
    batch: Count = 32
    learning_rate: Positive = 1e-3
    jitter: NotNegative = 0.02
    noise: NotNegative = 0.15
    own_labels: Annotated[float, Meta(ge=0, le=1)] = 0.1


class KeypointGanOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the detector is trained; `jitter` as in EtaOptions.

    `final_adversarial_share` is what is left of `adversarial_weight` at the last step, falling geometrically; 1 keeps it. For
    `local_share` of the steps Φ sees what is near each pixel alone, and the rest then fades in over as much as `FADE` of them;
    0 shows it all from the start. (A Φ of two levels sees no farther.) `eta_learning_rate` is η's; `drawn_weight` and
    `estimated_weight` are of its error on drawings of the poses and of its redrawings of Φ's skeleton images; `own_labels` as in
    `objectives.eta.keypoint_error`; `clip_norm` is the largest norm of gradients; `average_decay` is the kept average's over steps.
    """

    steps: Count = 1100
    batch: Count = 16
    learning_rate: Positive = 1e-3
    eta_learning_rate: Positive = 3e-4
    reconstruction_weight: NotNegative = 10.0
    reconstruction_error: Literal["absolute", "squared"] = "absolute"
    adversarial_weight: NotNegative = 1.0
    final_adversarial_share: Annotated[float, Meta(gt=0, le=1)] = 0.1
    local_share: Annotated[float, Meta(ge=0, le=0.6)] = 0.0
    consistency_weight: NotNegative = 2.0
    drawn_weight: NotNegative = 0.9
    estimated_weight: NotNegative = 0.1
    own_labels: Annotated[float, Meta(ge=0, le=1)] = 0.1
    jitter: NotNegative = 0.01
    clip_norm: Positive = 5.0
    average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.99


class SketchOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How Φ and η learn from sketches of the poses, as from labelled images; `rendering.sketches` says what they are.

    Parameters
    ----------
    steps, learning_rate
        From sketches alone, before KeypointGAN begins; not at all with 0 steps.
    batch
        Sketches a step.
    weight
        Of their loss beside KeypointGAN's at its first step, falling linearly to 0 at `share` of its steps. After that the batch
        normalisation must come to know images alone.
    """

    steps: Annotated[int, Meta(ge=0)] = 0
    learning_rate: Positive = 1e-3
    batch: Count = 16
    weight: NotNegative = 0.0
    share: Annotated[float, Meta(gt=0, le=0.9)] = 0.5


class SupervisionOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How labelled images are learnt from, for methods that have them.

    Parameters
    ----------
    steps, learning_rate
        Of a detector that learns from them alone.
    batch
        Augmented labelled images a step.
    weight
        Of their loss beside KeypointGAN's.
    rotation, log_scale, shift, colour
        Standard deviations of the augmentation: radians; of the logarithm; fractions of the side; of the logarithm of each
        channel's gain and of its offset.
    mirror
        Share of images mirrored, left and right swapped.
    """

    steps: Count = 1500
    batch: Count = 16
    learning_rate: Positive = 1e-3
    weight: NotNegative = 5.0
    rotation: NotNegative = 0.15
    log_scale: NotNegative = 0.1
    shift: NotNegative = 0.04
    mirror: Annotated[float, Meta(ge=0, le=1)] = 0.5
    colour: NotNegative = 0.1


class DetectorOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about the detector; `size`, the widths, `contrast` and `symmetric` are those of `DetectorArchitecture`."""

    size: int = 32
    image_widths: Widths = (16, 32, 64, 96)
    eta_widths: Widths = (24, 48, 96)
    decoder_widths: Widths = (16, 32, 64, 96)
    discriminator_widths: Widths = (24, 48, 96)
    contrast: Contrast = "none"
    symmetric: bool = False
    eta: EtaOptions = EtaOptions()
    sketches: SketchOptions = SketchOptions()
    gan: KeypointGanOptions = KeypointGanOptions()
    supervision: SupervisionOptions = SupervisionOptions()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mixed_precision: bool = True

    def architecture(self, joints: int) -> DetectorArchitecture:
        """Return the architecture for so many joints; raises ConfigError if the size does not fit the widths."""
        architecture = DetectorArchitecture(
            joints=joints,
            size=self.size,
            image_widths=self.image_widths,
            eta_widths=self.eta_widths,
            decoder_widths=self.decoder_widths,
            discriminator_widths=self.discriminator_widths,
            contrast=self.contrast,
            symmetric=self.symmetric,
        )
        architecture.check()
        return architecture
