"""Dermoscopy components that compose: from image files to an honest score.

The rooms, in the order in which an image passes them:

- `dermolib.datasets`: files and tables to samples; splits by lesion, loaders, downloads.
- `dermolib.preprocessing`: hair removal, color constancy, border crop; deterministic.
- `dermolib.augmentation`: presets and offline class balancing; random and seeded.
- `dermolib.features`: numeric descriptors of lesions, cached CNN features.
- `dermolib.models`: a name to an `nn.Module`.
- `dermolib.metrics`: weighted accuracy.
- `dermolib.training`: a model and loaders to a fitted model.
- `dermolib.evaluation`: a fitted model to a score with an interval.
- `dermolib.auditing`: leakage between splits, duplicates, bad rows and files.
- `dermolib.reporting`: figures and submission files.

All of them may use `dermolib.labels` (codes and names) and `dermolib.io` (image files). Names load
when first used: importing dermolib imports nothing heavy.
"""

from dermolib._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)
