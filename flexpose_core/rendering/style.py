"""What the drawn and the differentiable α must agree on."""

# Half of a line's width as a fraction of the image's side: 1.7 px at 64 px, so that a limb is one to two pixels at 32 px.
LINE_HALF_WIDTH = 1.7 / 64
# Width in pixels of the ramp from background to bone at a line's edge.
LINE_SOFTNESS = 1.0
