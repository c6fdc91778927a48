"""CycleGAN (Zhu et al. 2017, section 3): skeletons x and images of people y, unpaired, turned into each other.

One step updates, in the order of the authors' code, first the generators G and H, then the discriminators.

- Eq. 1, in the least-squares form of section 4: G(x) must look like a person to D_Y, and H(y) like a drawn skeleton to D_X.
- Eq. 2: H(G(x)) must be x, and G(H(y)) must be y.
- Eq. 3: their sum, the cycles λ times; discriminators see earlier translations too.

Both translations know the background, see `models.cycle_gan`: a skeleton is painted before one that is drawn at random, and D_Y
judges a picture beside its difference from the background. The identity loss of section 5.2 needs domains of as many channels,
and is left out.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flexpose_core.devices import mixed_precision
from flexpose_core.models.cycle_gan import PatchDiscriminator, PersonToSkeleton, SkeletonToPerson
from flexpose_core.options.cycle_gan import CycleGanOptions
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.streams import StepRandom
from flexpose_core.training.eager import Adam
from flexpose_core.training.frames import Frames
from flexpose_core.training.loop import set_learning_rate, warmup_linear
from flexpose_core.training.objectives.eta import PosePrior, picture_rows
from flexpose_core.training.objectives.gan_losses import require_gradients

_BETAS = (0.5, 0.999)
_SHOWN = 10


def least_squares(scores: Tensor, goal: float) -> Tensor:
    """E (D - goal)² (section 4, after Mao et al. 2017)."""
    return (scores - goal).square().mean()


def cycle_loss(again: Tensor, truth: Tensor) -> Tensor:
    """E ‖H(G(x)) − x‖₁, a term of Eq. 2, as a mean over pixels."""
    return (again - truth).abs().mean()


def beside_difference(images: Tensor, backgrounds: Tensor) -> Tensor:
    """Return what D_Y sees, (B, 6, S, S): images, and how they differ from their backgrounds."""
    return torch.cat([images, images - backgrounds], 1)


class ImageBuffer(nn.Module):
    """The last translations, as a history for a discriminator (section 4, after Shrivastava et al. 2017).

    While it is not full it keeps what it is given and gives it back; then each picture is, half of the time, exchanged for one
    that is held. It is a module so that checkpoints hold it.
    """

    images: Tensor
    held: Tensor
    watched = False  # pictures are no weights

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("held", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def exchange(self, fresh: Tensor, random: StepRandom) -> Tensor:
        """Return as many pictures (B, ...) as are given."""
        size, held, given = len(self.images), int(self.held), []
        swapped, places = random.uniform(len(fresh)) < 0.5, random.indices(len(fresh), max(size, 1))
        for image, swap, place in zip(fresh, swapped.tolist(), places.tolist(), strict=True):
            if held < size:
                self.images[held] = image
                held += 1
            elif swap and size:
                image, self.images[place] = self.images[place].clone(), image
            given.append(image)
        self.held.fill_(held)
        return torch.stack(given)


class CycleGanObjective:
    """The full training; what is kept of G and H is `average`, their exponential moving average."""

    def __init__(
        self,
        painter: SkeletonToPerson,
        finder: PersonToSkeleton,
        person_judge: PatchDiscriminator,
        skeleton_judge: PatchDiscriminator,
        frames: Frames,
        prior: PosePrior,
        options: CycleGanOptions,
    ) -> None:
        self.painter, self.finder = painter, finder
        self.person_judge, self.skeleton_judge = person_judge, skeleton_judge
        self.frames, self.prior, self.options, self.device = frames, prior, options, prior.device
        self.mixed = options.mixed_precision
        size = options.size
        self.people = ImageBuffer(options.buffer, (6, size, size)).to(self.device)
        self.skeletons = ImageBuffer(options.buffer, (1, size, size)).to(self.device)
        both = nn.ModuleDict({"painter": painter, "finder": finder})
        self.generators, averaging = both, get_ema_multi_avg_fn(options.average_decay)
        self.average = AveragedModel(both, multi_avg_fn=averaging)
        self.judges = nn.ModuleDict({"people": person_judge, "skeletons": skeleton_judge})
        self.networks: dict[str, nn.Module] = {
            "generators": both, "discriminators": self.judges, "average": self.average, "people": self.people,
            "skeletons": self.skeletons,
        }  # fmt: skip
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            name: Adam(networks.parameters(), betas=_BETAS, fused=True)
            for name, networks in (("generators", both), ("discriminators", self.judges))
        }

    @property
    def averaged(self) -> tuple[SkeletonToPerson, PersonToSkeleton]:
        """The averages of G and H."""
        kept = cast(nn.ModuleDict, self.average.module)
        return cast(SkeletonToPerson, kept["painter"]), cast(PersonToSkeleton, kept["finder"])

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        options = self.options
        rate = options.learning_rate * warmup_linear(step, options.steps)
        for optimiser in self.optimisers.values():
            set_learning_rate(optimiser, rate)
        count = len(self.frames.images)
        images, behind = self.frames.take(random.indices(options.batch, count), self.device)
        _, before = self.frames.take(random.indices(options.batch, count), self.device)
        drawn = self.draw(self.prior.draw(options.batch, 0.0, random))

        require_gradients(self.judges.parameters(), False)
        with mixed_precision(self.device, self.mixed):
            people, skeletons = self.painter(drawn, before), self.finder(images, behind)
            drawn_again, images_again = self.finder(people, before), self.painter(skeletons, behind)
            shown = beside_difference(people, before)
            deceived = [least_squares(self.person_judge(shown), 1), least_squares(self.skeleton_judge(skeletons), 1)]
        cycles = [cycle_loss(drawn_again, drawn), cycle_loss(images_again, images)]
        adversarial = deceived[0] + deceived[1]
        self._update("generators", adversarial + options.cycle_weight * (cycles[0] + cycles[1]))
        self.average.update_parameters(self.generators)

        require_gradients(self.judges.parameters(), True)
        old_people = self.people.exchange(shown.detach(), random)
        old_skeletons = self.skeletons.exchange(skeletons.detach(), random)
        with mixed_precision(self.device, self.mixed):
            judged = [
                least_squares(self.person_judge(beside_difference(images, behind)), 1),
                least_squares(self.person_judge(old_people), 0),
                least_squares(self.skeleton_judge(drawn), 1),
                least_squares(self.skeleton_judge(old_skeletons), 0),
            ]
        # Halved, "which slows down the rate at which D learns" (appendix 7.1).
        self._update("discriminators", torch.stack(judged).sum() / 2)
        return {
            "people_cycle": cycles[1].detach(),
            "people_adversarial": deceived[0].detach(),
            "people_discriminator": ((judged[0] + judged[1]) / 2).detach(),
            "skeleton_cycle": cycles[0].detach(),
            "skeleton_adversarial": deceived[1].detach(),
            "skeleton_discriminator": ((judged[2] + judged[3]) / 2).detach(),
        }

    def draw(self, poses: Tensor) -> Tensor:
        """Return white skeletons (B, 1, S, S) of poses (B, K, 2)."""
        images = draw_lines(poses, self.prior.skeleton, self.options.size, channels=1)
        return images.contiguous(memory_format=torch.channels_last)

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad()
        loss.backward()
        self.optimisers[name].step()

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return five rows: skeletons, people painted after them; images, skeletons found in them, people painted after these."""
        count = min(_SHOWN, len(self.frames.images), len(self.prior.poses))
        rows = torch.linspace(0, len(self.frames.images) - 1, count).long()
        images, backgrounds = self.frames.take(rows, self.device)
        drawn = self.draw(self.prior.poses[torch.linspace(0, len(self.prior.poses) - 1, count).long()].to(self.device))
        painter, finder = self.averaged
        with torch.no_grad():
            found = finder(images, backgrounds)
            painted = [drawn, painter(drawn, backgrounds), images, found, painter(found, backgrounds)]
        return picture_rows(painted)
