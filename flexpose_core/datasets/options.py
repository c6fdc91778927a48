"""The options of all readers; the key `reader` tells them apart."""

from __future__ import annotations

from os.path import normpath
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.datasets.faces.options import FacesOptions
from flexpose_core.datasets.people.options import PeopleOptions

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Path = Annotated[str, Meta(min_length=1)]


class SquareOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a pose is cut out of the original picture: all in the same way, as a detector expects people as it saw them."""

    around: Literal["joints", "box"] = "joints"
    """`box`: the annotation's box, in COCO's format; then people without any joint are kept, too, if `complete` is off."""
    margin: Annotated[float, Meta(ge=0, le=4)] = 0.15
    """Room on every side of the box, in its longer side."""
    aspect: Annotated[float, Meta(gt=0, le=8)] = 1.0
    """Width over height of what is cut out and becomes a square; 1 keeps proportions."""
    min_side: Annotated[float, Meta(ge=1)] = 16.0
    """Poses whose box has a longer side below this, in pixels of the original, are dropped."""
    per: Literal["pose", "sequence"] = "pose"
    """`sequence`: one crop for all frames of a sequence, so that the background stands still; `pose`: one each."""


class LimitOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The most poses a split keeps, drawn evenly and without repetition; None for all."""

    train: Positive | None = None
    val: Positive | None = None
    test: Positive | None = None


class AnnotatedOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every dataset of annotated pictures or videos has."""

    root: Path
    """The folder of the unpacked original, from the working directory if it is relative."""
    images: bool = False
    """Keep the pictures: for targets."""
    image_size: Annotated[int, Meta(ge=16, le=1024)] = 128
    image_format: Literal["jpeg", "png"] = "jpeg"
    masked: bool = False
    """Paint black what the dataset's own masks call background; for datasets that have masks."""
    crop: SquareOptions = SquareOptions()
    complete: bool = True
    """Keep only poses whose joints are all annotated and inside the picture."""
    stride: Positive = 1
    """Of videos, keep every so many-th frame."""
    held_out: Share = 0.05
    """Share of the original training sequences (or pictures) that make the val split, where the original has none."""
    val_from: Literal["held_out", "test"] = "held_out"
    """`test`: val is the original's test split, and all of training is train; for sources, whose test split nothing else uses."""
    limit: LimitOptions = LimitOptions()
    shards: Positive = 1
    """Jobs that share the conversion of a split; the cache is the same for any number."""

    @property
    def has_test(self) -> bool:
        """Whether the original has a test split."""
        return True

    @property
    def has_val(self) -> bool:
        """Whether the original has a val split."""
        return False

    def has(self, split: str) -> bool:
        """Return whether a split has poses, as far as the options tell."""
        if split == "val":
            return self.has_val or (self.has_test if self.val_from == "test" else self.held_out > 0)
        return split == "train" or self.has_test

    def known_size(self, split: str) -> int | None:
        """Return the most poses that a split can have, or None where only reading tells."""
        return getattr(self.limit, split)


Subjects = Annotated[tuple[int, ...], Meta(min_length=1)]


def _check_once(**lists: tuple[int, ...]) -> None:
    """Raise ValueError, of which msgspec makes an error with the key, where a list names something twice."""
    for name, values in lists.items():
        if len(set(values)) < len(values):
            raise ValueError(f"{name}: expected each once, found {list(values)}")


def _check_apart(train: tuple[int, ...], test: tuple[int, ...]) -> None:
    """Raise ValueError where somebody is in both splits."""
    _check_once(train=train, test=test)
    both = sorted({*train} & {*test})
    if both:
        raise ValueError(f"expected other subjects in test than in train, found {both[0]} in both")


class CocoOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="coco"):
    """COCO-2017 person keypoints. test is val2017; val is held out of train2017."""


class KeypointsJsonOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="keypoints-json"):
    """Anybody's own annotations in COCO's keypoint format."""

    train: Path
    """The annotation file of the split, inside the root."""
    val: Path | None = None
    """None: held out of train."""
    test: Path | None = None
    pictures: str = ""
    """The folder, inside the root, that `file_name` starts from."""
    still_cameras: bool = False
    """Whether the pictures of one folder are by one camera that stands still: they are taken for frames of one video, and what is
    behind a person is their median."""
    skeleton: Literal["body15", "face68"] = "body15"
    joints: dict[str, str | tuple[str, ...]] = {}
    """From our joint names to the file's; several names stand for their mean. Joints of the same name need no entry."""

    def __post_init__(self) -> None:
        # val may be test's: where all labelled frames are shots there is no other.
        for split, file in {"val": self.val, "test": self.test}.items():
            if file is not None and normpath(file) == normpath(self.train):
                raise ValueError(f"{split}: expected another file than train's, found {file!r}")
        empty = [joint for joint, source in self.joints.items() if not source]
        if empty:
            raise ValueError(f"joints: expected a name or several for {empty[0]!r}, found none")

    @property
    def has_val(self) -> bool:
        return self.val is not None

    @property
    def has_test(self) -> bool:
        return self.test is not None


class Mpi3dhpSubjects(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Subjects of MPI-INF-3DHP: S1 to S8 in training, TS1 to TS6 in test."""

    train: Subjects = (1, 2, 3, 4, 5, 6, 7, 8)
    test: tuple[int, ...] = (1, 2, 3, 4, 5, 6)

    def __post_init__(self) -> None:
        # Other people: a number of one is not that of the other.
        _check_once(train=self.train, test=self.test)


class Mpi3dhpOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="mpi-inf-3dhp"):
    """MPI-INF-3DHP. val is held out of the training sequences."""

    subjects: Mpi3dhpSubjects = Mpi3dhpSubjects()
    cameras: tuple[int, ...] = (0, 1, 2, 4, 5, 6, 7, 8)
    """Training cameras, 0 to 13; 11 to 13 are on the ceiling."""
    head: Literal["head", "head_top"] = "head_top"

    def __post_init__(self) -> None:
        _check_once(cameras=self.cameras)


class SurrealOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="surreal"):
    """SURREAL (cmu), in its own train, val and test splits."""

    runs: tuple[Literal[0, 1, 2], ...] = (0, 1, 2)
    head_top: Annotated[float, Meta(ge=0, le=3)] = 1.0
    """How far our head lies beyond SMPL's, which is the base of the skull, in lengths from neck to SMPL's head."""

    @property
    def has_val(self) -> bool:
        return True


class Human36mSubjects(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Subjects of Human3.6M."""

    train: Subjects = (1, 5, 6, 7, 8)
    test: tuple[int, ...] = (9, 11)

    def __post_init__(self) -> None:
        _check_apart(self.train, self.test)


class Human36mOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="human36m"):
    """Human3.6M, as D2_Positions/*.cdf with its videos. val is held out of the training sequences."""

    subjects: Human36mSubjects = Human36mSubjects()
    cameras: tuple[int, ...] = (54138969, 55011271, 58860488, 60457274)
    actions: tuple[str, ...] = ()
    """By the names that S5 to S11 use, such as WalkDog; none for all."""

    def __post_init__(self) -> None:
        _check_once(cameras=self.cameras)


class Human36mNpzOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="human36m-npz"):
    """Human3.6M as an .npz of 17 joints (`part`, `imgname`). val is held out of the training file."""

    train: Path = "h36m_train.npz"
    test: Path | None = None

    @property
    def has_test(self) -> bool:
        return self.test is not None


class SimplifiedSubjects(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Subjects of Simplified Human3.6M, as KeypointGAN splits them."""

    train: Subjects = (1, 5, 6, 7, 8, 9)
    test: tuple[int, ...] = (11,)

    def __post_init__(self) -> None:
        _check_apart(self.train, self.test)


class SimplifiedHuman36mOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="simplified-human36m"):
    """Simplified Human3.6M (Zhang et al. 2018). val is held out of the training sequences."""

    subjects: SimplifiedSubjects = SimplifiedSubjects()
    activities: tuple[str, ...] = ("Directions", "Discussion", "Greeting", "Posing", "Waiting", "Walking")


class ThreeHundredVwOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="300-vw"):
    """300-VW: videos of faces. val is held out of the training videos."""

    categories: tuple[Literal[1, 2, 3], ...] = (1, 2, 3)
    """Which of the three test sets make the test split."""


class WflwOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="wflw"):
    """WFLW: faces in the wild, 98 landmarks read as 68. val is held out of the training list."""


class PennActionOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="penn-action"):
    """Penn Action. val is held out of the training clips."""

    actions: tuple[str, ...] = ()
    """None for all fifteen."""


class LspOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="lsp"):
    """Leeds Sports Poses: the first 1,000 train, the rest test; val is held out of train."""


class LspExtendedOptions(AnnotatedOptions, frozen=True, tag_field="reader", tag="lsp-extended"):
    """Leeds Sports Poses Extended: training poses alone; val is held out of them."""

    @property
    def has_test(self) -> bool:
        return False


RealOptions = (
    CocoOptions
    | KeypointsJsonOptions
    | Mpi3dhpOptions
    | SurrealOptions
    | Human36mOptions
    | Human36mNpzOptions
    | SimplifiedHuman36mOptions
    | ThreeHundredVwOptions
    | WflwOptions
    | PennActionOptions
    | LspOptions
    | LspExtendedOptions
)
DatasetOptions = PeopleOptions | FacesOptions | RealOptions

_OF_FACES = (FacesOptions, ThreeHundredVwOptions, WflwOptions)


def skeleton_of(options: DatasetOptions) -> Literal["body15", "face68"]:
    """Return the name of the skeleton of a dataset's poses."""
    if isinstance(options, KeypointsJsonOptions):
        return options.skeleton
    return "face68" if isinstance(options, _OF_FACES) else "body15"
