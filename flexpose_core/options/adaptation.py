"""Options of few-shot guidance and of fitting τ."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.errors import ConfigError

Count = Annotated[int, Meta(ge=1)]
Steps = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]

Symmetry = Literal["none", "flip", "flip+back", "auto"]


class GuidanceOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a few shots of the target are enriched (paper, section 3.3).

    Parameters
    ----------
    mixup_size
        E, the number of poses after pose-mixup (Eq. 7).
    space
        "joints": joints are mixed along straight lines, as in the paper; "bones": directions and lengths of bones are
        mixed.
    concentration
        a of the mixing share λ ~ Beta(a, a): 1 is uniform, as in the paper; below 1 stays nearer to the shots.
    spread
        Mixed poses are moved away from their mean by this factor. Mixing two shots with uniform λ keeps 2/3 of their
        variance, so that √(3/2) ≈ 1.2 restores it. For space "joints" only.
    symmetry
        Mirrored copies that join the shots before mixing: "flip" mirrors with left and right swapped; "back" also
        mirrors with labels kept, about as if seen from behind; "auto" is the largest that the shots do not refute; one or
        two shots can refute none, and "flip" is taken.
    """

    mixup_size: Annotated[int, Meta(ge=2)] = 1000
    space: Literal["joints", "bones"] = "joints"
    concentration: Positive = 1.0
    spread: Positive = 1.0
    symmetry: Symmetry = "none"

    def __post_init__(self) -> None:
        if self.space == "bones" and self.spread != 1:
            raise ConfigError(f"guidance.spread: expected 1 with space 'bones', found {self.spread:g}")


Joints = Literal["read", "own"]
"""Where the joints of a sample are from, see `AdaptationOptions`."""


class AlignmentOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How source poses are brought to the target's proportions and mixed into the guidance.

    Parameters
    ----------
    candidates
        Source poses drawn to choose from.
    bone_rounds
        Rounds of matching and fitting that estimate the bones' length ratios.
    bone_shrinkage
        κ: an estimate from M shots keeps M / (M + κ) of its logarithm.
    source_share
        Share of the matched source pose in each pose; the rest is its anchor.
    source_reach
        About how far the joints of an anchor may be moved towards its source pose, the mean over joints as a fraction
        of the image's side; the share of a pose that is farther off is smaller for it.
    root_jitter
        Standard deviation of the root's position, as a fraction of the image's side.
    """

    candidates: Count = 4000
    bone_rounds: Steps = 3
    bone_shrinkage: NotNegative = 6.0
    source_share: Share = 0.3
    source_reach: NotNegative = 3 / 128
    root_jitter: NotNegative = 3 / 128


NO_FILE = ("auto", "imagenet", "random")


class PerceptualOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Γ, in whose features g_t and the guidance are compared (Eq. 5).

    Parameters
    ----------
    kind
        "vgg16": three levels of VGG16 on images, as in the paper; "regressor": β's encoder on images; "joints": β's
        joints; "pose": the pose that a generator of mapping kind "pose" stands for, with no image drawn.
    weights
        For "vgg16": "auto" takes ImageNet weights if torchvision's cache has them and random ones if not, "imagenet"
        demands them, "random" never loads; anything else is a file (.safetensors, or torchvision's .pth).
    allow_download
        Whether "imagenet" may download.
    """

    kind: Literal["vgg16", "regressor", "joints", "pose"] = "vgg16"
    weights: str = "auto"
    allow_download: bool = False

    @property
    def file(self) -> str | None:
        """The file that the weights are read from, if one is named."""
        return None if self.kind != "vgg16" or self.weights in NO_FILE else self.weights


class AdversarialFitOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fine-tuning a GAN on the guidance (Wang et al. 2018), the discriminator's lower layers frozen (Mo et al. 2020).

    Goes on from the generator and the discriminator that the source's training ended with; its other options, such as
    the penalty, are those of that training.

    Parameters
    ----------
    frozen
        Layers of the discriminator, counted from its input, that do not learn; 0 is plain fine-tuning.
    """

    frozen: Annotated[int, Meta(ge=0)] = 0
    steps: Count = 1000
    learning_rate: Positive = 2e-4


SetOfLayers = tuple[int | str, ...] | str
"""Layers that τ may change; see `flexpose_core.models.transfer.Layers`."""


def layers_text(layers: SetOfLayers) -> str:
    """Return a set of layers as tables show it: "1, 3", or "mapping"."""
    return layers if isinstance(layers, str) else ", ".join(map(str, layers))


class LayerSearchOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How `layers: auto` chooses: by cross-validation over the shots, see `flexpose_core.stages.choose_layers`.

    It costs candidates × folds trial fits.

    Parameters
    ----------
    candidates
        The sets of layers to choose from, each as `layers`; none for those of `choose_layers.default_candidates`.
    folds
        Parts that the shots are divided in; each is held out once.
    steps_share
        Share of `pair_steps` and of `energy_steps` that a trial fit takes.
    samples
        Poses generated after a trial fit, to score the shots held out.
    """

    candidates: tuple[SetOfLayers, ...] = ()
    folds: Annotated[int, Meta(ge=2)] = 4
    steps_share: Annotated[float, Meta(gt=0, le=1)] = 0.25
    samples: Annotated[int, Meta(ge=2)] = 500


class AdaptationOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a generator is adapted. The defaults are the paper's: τ is fitted, all else frozen.

    Parameters
    ----------
    trained
        What learns: "transfer", τ; "scale-shift", a diagonal τ; "low-rank", a matrix of low rank added to each A_l, for
        style layers alone; "generator", all weights.
    layers
        Layers that may change, see `flexpose_core.models.transfer.Layers`; "auto" chooses them from the shots; "generator"
        changes all.
    layer_search
        For layers "auto".
    bias
        Whether τ's blocks also shift.
    rank
        Of the matrices of "low-rank".
    perceptual
        Γ.
    pairing
        Which latent code stands for which guidance pose: "random" (Eq. 5), or "assignment", the one-to-one pairing
        that moves the joints least, the codes chosen from `pool`.
    pool
        Latent codes drawn for "assignment", or as many as guidance poses if these are more.
    alignment
        If given, source poses join the guidance; else it is the pose-mixup alone.
    pair_steps, pair_batch
        Steps of Eq. 5 and pairs a step.
    energy_steps, energy_batch
        Steps that then lower the energy distance between generated poses and the guidance, and poses of each a step.
    learning_rate
        Adam's, at its highest.
    adversarial
        If given, the generator is fine-tuned as a GAN instead of on pairs and the energy distance; for "generator".
    joints
        What a sample's joints are: "read" by β in its image g_t(z) (Eq. 8), or "own": the pose that a generator of mapping kind
        "pose" stands for, of which its image is a drawing. Then nothing is drawn, and nothing misread; for adaptations that leave
        the drawing as it is, by Γ = pose or as a GAN.
    device
        Where the networks run.
    mixed_precision
        Whether they draw and look at images in bfloat16, where the device computes with it.
    """

    trained: Literal["transfer", "scale-shift", "low-rank", "generator"] = "transfer"
    layers: SetOfLayers = (3,)
    layer_search: LayerSearchOptions = LayerSearchOptions()
    bias: bool = False
    rank: Count = 4
    perceptual: PerceptualOptions = PerceptualOptions()
    pairing: Literal["random", "assignment"] = "random"
    pool: Count = 3000
    alignment: AlignmentOptions | None = None
    pair_steps: Steps = 300
    pair_batch: Count = 16
    energy_steps: Steps = 0
    energy_batch: Annotated[int, Meta(ge=2)] = 192
    learning_rate: Positive = 5e-3
    adversarial: AdversarialFitOptions | None = None
    joints: Joints = "read"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mixed_precision: bool = True

    def __post_init__(self) -> None:
        if self.adversarial is not None and self.trained != "generator":
            raise ConfigError(f"adaptation.trained: expected 'generator' for adversarial, found {self.trained!r}")
        if self.chooses_layers and self.trained == "generator":
            raise ConfigError(
                "adaptation.layers: expected none to choose, as 'generator' trains them all, found 'auto'"
            )
        if self.joints == "own" and self.perceptual.kind != "pose" and self.adversarial is None:
            raise ConfigError(
                f"adaptation.joints: expected 'read', as Γ = {self.perceptual.kind} may adapt the drawing, found 'own'"
            )
        if self.trained == "low-rank" and self.perceptual.kind == "pose":
            raise ConfigError(
                "adaptation.perceptual: expected images to be compared, as 'low-rank' changes style layers, found 'pose'"
            )
        for number, layers in enumerate(self.layer_search.candidates):
            self.check_layers(layers, f"adaptation.layer_search.candidates[{number}]")

    @property
    def chooses_layers(self) -> bool:
        """Whether the layers are chosen from the shots."""
        return self.layers == "auto"

    def check_layers(self, layers: SetOfLayers, where: str) -> None:
        """Raise ConfigError, its message starting with `where`, unless an adaptation of this kind can change these layers."""
        of_style = [layer == "all" or isinstance(layer, int) for layer in _listed(layers)]
        if self.perceptual.kind == "pose" and any(of_style):
            raise ConfigError(f"{where}: expected layers of f, as Γ = pose sees no others, found {layers!r}")
        if self.trained == "low-rank" and not all(of_style):
            raise ConfigError(f"{where}: expected style layers for 'low-rank', found {layers!r}")


def _listed(layers: SetOfLayers) -> tuple[int | str, ...]:
    return (layers,) if isinstance(layers, str) else layers
