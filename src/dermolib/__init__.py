"""Dermoscopy components that compose: from image files to an honest score.

The stages, in the order in which an image passes them:

- `dermolib.datasets`: files to samples, splits by lesion, the synthetic challenge.
- `dermolib.preprocessing`: occlusion removal, border, colour; image to image, deterministic; and
  `dermolib.preprocessing.prepare`, a folder to a store.
- `dermolib.folders`: folders to folders, parallel and resumable; the command ``dermolib hair``.
- `dermolib.augmentation`: presets and offline class balancing; image to image, random and seeded.
- `dermolib.models`: a name to an `nn.Module`.
- `dermolib.training`: a model and loaders to a fitted model.
- `dermolib.metrics`: predictions to numbers.
- `dermolib.evaluation`: a fitted model to a judgement.
- `dermolib.reporting`: numbers to pictures and files.

The leaves that stages share are `dermolib.diagnoses`, the vocabulary, `dermolib.images`, files to
arrays and back, `dermolib.store`, prepared images in one file, `dermolib.loaders`, datasets to
batches, and `dermolib.resident`, batches of images that lie on the device. Names load when they are
first used: importing dermolib imports nothing heavy.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
