"""Options without those that do not count, so that changing these makes nothing anew: the usual ones are in their place."""

from __future__ import annotations

import msgspec

from flexpose_core.options.detector import DetectorOptions
from flexpose_core.options.generator import (
    AdversarialOptions,
    DistillationOptions,
    GeneratorOptions,
    PoseGanOptions,
)
from flexpose_core.options.grid import MethodOptions


def generator_in_use(options: GeneratorOptions) -> GeneratorOptions:
    """Return the generator's options, those of one way to train it alone."""
    if options.training == "distilled":
        return msgspec.structs.replace(options, adversarial=AdversarialOptions())
    # By its widening, generators with poses of their own are measured, however they are trained.
    drawing = DistillationOptions(widening=options.distillation.widening)
    return msgspec.structs.replace(options, pose_gan=PoseGanOptions(), distillation=drawing)


def detector_in_use(options: DetectorOptions, method: MethodOptions) -> DetectorOptions:
    """Return the detector's options as far as they shape a training of this method."""
    usual, sketches, gan, supervision = DetectorOptions(), options.sketches, options.gan, options.supervision
    alone = method.animates or method.supervision == "alone"
    if not sketches.weight:
        sketches = msgspec.structs.replace(sketches, share=usual.sketches.share)
    if not sketches.steps:
        sketches = msgspec.structs.replace(sketches, learning_rate=usual.sketches.learning_rate)
    if not (sketches.steps or sketches.weight):
        sketches = usual.sketches
    if alone:
        # Of KeypointGAN's they have the average over steps.
        sketches = usual.sketches
        gan = msgspec.structs.replace(usual.gan, average_decay=gan.average_decay)
        supervision = msgspec.structs.replace(supervision, weight=usual.supervision.weight)
        if method.animates:
            supervision = msgspec.structs.replace(supervision, steps=usual.supervision.steps)
    elif method.supervision == "added":
        rate = usual.supervision.learning_rate
        supervision = msgspec.structs.replace(supervision, steps=usual.supervision.steps, learning_rate=rate)
    else:
        supervision = usual.supervision
    return msgspec.structs.replace(options, sketches=sketches, gan=gan, supervision=supervision)
