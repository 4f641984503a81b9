"""A seed to a drawn challenge: lesions of eight kinds and hair, with exact masks of both."""

from dermolib.synthetic.challenge import SyntheticSample, draw_sample, make_synthetic_challenge
from dermolib.synthetic.hair import draw_hair, keep_visible
from dermolib.synthetic.lesions import draw_lesion

__all__ = [
    "SyntheticSample",
    "draw_hair",
    "draw_lesion",
    "draw_sample",
    "keep_visible",
    "make_synthetic_challenge",
]
