"""Groups that each class borrows from the others, for what its own few have not shown."""

from dataclasses import replace

import numpy as np

from dermolib.evaluation.predictions import Predictions

__all__ = ["borrow_groups"]

_MASS = 1.0  # groups that each class borrows in all
_PICKED = 10  # groups of each other class that these are spread over


def borrow_groups(predictions: Predictions) -> Predictions:
    """Add groups that each class borrows from the others, for resamples alone.

    With three lesions of a class, all of them right, a bootstrap holds its sensitivity for certain.
    Here each class borrows groups of the other classes, with the roles of the two classes swapped
    in target and probabilities: an image of MEL that the model calls BKL becomes one of NV that it
    calls BKL, one that it has right as MEL becomes one that it has right as NV. All borrowed groups
    of a class together count as one of its own, taken equally from the other classes, and a class
    with them weighs as much as without. As these are images with groups and probabilities, they
    serve every score. Two models that are compared borrow the same images. It supposes that a class
    is as hard as another, as far as its own images do not say otherwise.

    Args:
        predictions: Predictions of G groups.

    Returns:
        Predictions with borrowed groups, numbered from G, and how often these count on average.

    References:
        This is an empirical form of the prior observations by which intervals of proportions cover
        with few images: Agresti and Coull, Approximate is better than "exact" for interval
        estimation of binomial proportions, The American Statistician 52(2), 1998,
        https://doi.org/10.1080/00031305.1998.10480550.
    """
    count, first = len(predictions.codes), predictions.num_groups
    groups, target = predictions.groups, predictions.target
    pairs, part = np.unique(groups * count + target, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(pairs))
    classes = pairs[order] % count
    picked = {int(one): order[classes == one][:_PICKED] for one in np.unique(target)}
    loans = [
        (one, place, _MASS / (len(picked) - 1) / len(ones))
        for place in picked
        for giver, ones in picked.items()
        if giver != place
        for one in ones
    ]
    by_part = np.split(np.argsort(part, kind="stable"), np.cumsum(np.bincount(part))[:-1])
    rows = [by_part[one] for one, _, _ in loans]
    sizes = [len(images) for images in rows]
    images = np.concatenate([np.arange(len(target)), *rows])
    taker = np.repeat([place for _, place, _ in loans], sizes).astype(np.intp)
    probabilities = predictions.probabilities[images]
    swapped = np.column_stack([taker, target[images[len(target) :]]])
    extra = probabilities[len(target) :]
    values = np.take_along_axis(extra, swapped, axis=1)
    np.put_along_axis(extra, swapped[:, ::-1], values, axis=1)
    own = np.bincount(pairs % count, minlength=count)
    kept = own / (own + _MASS)  # so that a class that borrows keeps its weight
    images_of = np.bincount(groups, minlength=first)
    factors = np.bincount(groups, kept[target], first) / np.maximum(images_of, 1)
    return replace(
        predictions,
        probabilities=probabilities,
        target=np.concatenate([target, taker]),
        groups=np.concatenate([groups, np.repeat(first + np.arange(len(loans)), sizes)]),
        num_groups=first + len(loans),
        borrowed=np.array([mass for *_, mass in loans]),
        factors=np.append(factors, [kept[place] for _, place, _ in loans]),
    )
