"""Options of what is learnt from a source alone, g_s and β, and of sampling; and the architectures that weights files state."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.errors import ConfigError

COARSEST = 4
"""Side in pixels of the synthesis network's learned constant."""
LAYERS_PER_RESOLUTION = 2
TRUNK = 32
"""Side at which β reads images; larger ones are folded to it, so that its cost does not grow with the resolution."""

Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]
Widths = Annotated[tuple[Count, ...], Meta(min_length=1)]
Device = Literal["auto", "cpu", "cuda"]


class GeneratorNetworkOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The generator's shape, the same for all skeletons.

    Parameters
    ----------
    resolution
        Side of the image in pixels: 4 · 2^(n - 1) for n synthesis widths.
    latent_width
        Width of z.
    mapping
        Kind of the mapping network f: "mlp", StyleGAN's, or "pose", whose last layer is a pose.
    mapping_widths
        Widths of f's hidden layers; for "mlp" the last is the width of w.
    octaves
        Frequencies π, 2π, 4π, ... of the Fourier features of the pose; for "pose" only.
    synthesis_widths
        Channels at 4, 8, 16, ... pixels.
    """

    resolution: Annotated[int, Meta(ge=8, le=256)] = 32
    latent_width: Count = 64
    mapping: Literal["mlp", "pose"] = "pose"
    mapping_widths: Widths = (128, 128, 128)
    octaves: Annotated[int, Meta(ge=1, le=8)] = 1
    synthesis_widths: Widths = (64, 64, 40, 16)

    def __post_init__(self) -> None:
        drawn = COARSEST << (len(self.synthesis_widths) - 1)
        if self.resolution != drawn:
            raise ConfigError(
                f"generator.resolution: expected {drawn}, as {len(self.synthesis_widths)} synthesis_widths draw, "
                f"found {self.resolution}"
            )

    @property
    def style_layers(self) -> int:
        """The number of style layers."""
        return LAYERS_PER_RESOLUTION * len(self.synthesis_widths)

    @property
    def mapping_layers(self) -> int:
        """The number of layers of f, the pose's own included."""
        return len(self.mapping_widths) + (self.mapping == "pose")

    def check_layers(self, layers: tuple[int | str, ...] | str, where: str) -> None:
        """Raise ConfigError, its message starting with `where`, unless the generator has all these layers."""
        if not layers:
            raise ConfigError(f"{where}: expected at least one layer, found none")
        known: set[int | str] = {"all", "mapping", *range(1, self.style_layers + 1)}
        known |= {f"f{layer}" for layer in range(1, self.mapping_layers + 1)}
        for layer in [layers] if isinstance(layers, str) else layers:
            if layer not in known:
                raise ConfigError(
                    f"{where}: expected 1..{self.style_layers}, f1..f{self.mapping_layers}, all or mapping, found {layer!r}"
                )


class GeneratorArchitecture(GeneratorNetworkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is needed to build a generator again.

    Parameters
    ----------
    skeleton
        Name of the skeleton it draws.
    channels
        3: one colour a bone; 1: white bones.
    """

    skeleton: str
    channels: Literal[1, 3] = 3


class RegressorArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is needed to build β again.

    Parameters
    ----------
    skeleton
        Name of the skeleton it reads.
    channels
        Of the image: 3 or 1.
    resolution
        Side of the image in pixels: 16, or a multiple of 32.
    width
        Channels of the first level; deeper ones have two and three times as many.
    """

    skeleton: str
    channels: Literal[1, 3] = 3
    resolution: Annotated[int, Meta(ge=16, le=256)] = 32
    width: Annotated[int, Meta(ge=4)] = 24

    def __post_init__(self) -> None:
        if self.resolution != TRUNK // 2 and self.resolution % TRUNK:
            raise ConfigError(
                f"regressor.resolution: expected {TRUNK // 2} or a multiple of {TRUNK}, found {self.resolution}"
            )


class WideningOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Random geometric changes of poses; spreads are standard deviations, lengths fractions of the image's side, angles radians.

    Parameters
    ----------
    mirror
        Share of poses mirrored; half of those keep their left and right labels, as if seen from behind.
    bone_angle, bone_length
        Turn and log-stretch of each bone by itself.
    rotation, shear, log_scale, shift
        Of the whole pose about the image's centre.
    jitter
        Of each joint.
    margin
        Poses are shrunk and moved to keep at least this distance from the image's border.
    """

    mirror: Share = 0.5
    bone_angle: NotNegative = 0.4
    bone_length: NotNegative = 0.12
    rotation: NotNegative = 1.5
    shear: NotNegative = 0.08
    log_scale: NotNegative = 0.18
    shift: NotNegative = 0.05
    jitter: NotNegative = 0.012
    margin: Annotated[float, Meta(ge=0, lt=0.5)] = 0.02


class RegressionOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How β is trained.

    Parameters
    ----------
    heat_weight
        Weight of the heat maps' cross-entropy beside the error of the positions.
    widened
        Share of the batch whose poses are widened.
    disturbance
        Strength of blur, noise and stains on the drawings; 0 leaves them clean.
    """

    steps: Count = 800
    batch: Count = 32
    learning_rate: Positive = 0.1
    heat_weight: NotNegative = 0.03
    widened: Share = 0.8
    widening: WideningOptions = WideningOptions()
    disturbance: NotNegative = 0.6


class RegressorOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about β; `resolution` must be the generator's."""

    resolution: Annotated[int, Meta(ge=16, le=256)] = 32
    width: Annotated[int, Meta(ge=4)] = 24
    training: RegressionOptions = RegressionOptions()
    device: Device = "auto"
    mixed_precision: bool = True


class PoseGanOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """First stage of "distilled": f as a GAN on joint positions.

    Parameters
    ----------
    r1_gamma, r1_interval
        γ of the R1 penalty for positions in 0..1, and every how many steps it is taken.
    average
        Decay a step of the averaged f that is kept.
    """

    steps: Count = 6000
    batch: Count = 128
    learning_rate: Positive = 1e-3
    r1_gamma: NotNegative = 0.04
    r1_interval: Count = 4
    average: Decay = 0.998
    discriminator_width: Count = 128


class DistillationOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Second stage of "distilled": φ ∘ A learns to draw f's poses as α does.

    Parameters
    ----------
    widened
        Share of the batch whose poses are widened, so that an adapted generator can draw what the source lacks.
    bone_weight
        Weight of finding each bone in φ's feature maps, beside the image.
    reading_weight
        Weight of the distance between the pose and what β reads from its drawing, in units of the image's side.
    average
        Decay a step of the averaged generator that is kept.
    """

    steps: Count = 2300
    batch: Count = 16
    learning_rate: Positive = 0.15
    bone_weight: NotNegative = 10.0
    reading_weight: NotNegative = 3.0
    widened: Share = 0.5
    widening: WideningOptions = WideningOptions()
    average: Decay = 0.99


class AdversarialOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The paper's training: a GAN on skeleton images.

    Parameters
    ----------
    r1_gamma, r1_interval
        γ of the R1 penalty for images in -1..1, and every how many steps it is taken.
    average
        Decay a step of the averaged generator that is kept.
    """

    steps: Count = 2300
    batch: Count = 16
    generator_rate: Positive = 2.5e-3
    discriminator_rate: Positive = 2e-3
    r1_gamma: NotNegative = 0.3
    r1_interval: Count = 16
    average: Decay = 0.995
    discriminator_width: Count = 40


class GeneratorOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about g_s.

    Parameters
    ----------
    training
        "adversarial": the paper's, one GAN on skeleton images. "distilled": a GAN on joint positions, then drawing by
        distillation from α; needs mapping kind "pose".
    """

    training: Literal["distilled", "adversarial"] = "distilled"
    architecture: GeneratorNetworkOptions = GeneratorNetworkOptions()
    pose_gan: PoseGanOptions = PoseGanOptions()
    distillation: DistillationOptions = DistillationOptions()
    adversarial: AdversarialOptions = AdversarialOptions()
    device: Device = "auto"
    mixed_precision: bool = True

    def __post_init__(self) -> None:
        if self.training == "distilled" and self.architecture.mapping != "pose":
            raise ConfigError(
                "generator.architecture.mapping: expected 'pose' for training 'distilled', "
                f"found {self.architecture.mapping!r}"
            )


class SampleOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How target poses are drawn from g_t (Eq. 8).

    Parameters
    ----------
    keep
        Share of samples kept: those whose image g_t(z) is nearest to its redrawing α(β(g_t(z))); 1 keeps all.
    """

    keep: Annotated[float, Meta(gt=0, le=1)] = 1.0
    device: Device = "auto"
    mixed_precision: bool = True
