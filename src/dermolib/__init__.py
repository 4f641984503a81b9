"""Dermoscopy components that compose: from image files to an honest score.

The stages, in the order in which an image passes them:

- `dermolib.downloading`: a name to a folder; nothing is fetched unless it is asked for.
- `dermolib.datasets`: files of every year of ISIC to samples, splits by lesion and patient.
- `dermolib.auditing`: tables and files to what leaks between sides, and what is wrong.
- `dermolib.synthetic`: a seed to a drawn challenge.
- `dermolib.preprocessing`: occlusion removal, border, colour; image to image, deterministic; and
  `dermolib.preprocessing.prepare`, a folder to a store.
- `dermolib.features`: image and lesion mask to numbers, the descriptors of the ABCD rule.
- `dermolib.folders`: folders to folders, parallel and resumable; the command ``dermolib hair``.
- `dermolib.augmentation`: presets and offline class balancing; image to image, random and seeded.
- `dermolib.models`: a name to an `nn.Module`.
- `dermolib.training`: a model and loaders to a fitted model.
- `dermolib.metrics`: predictions to numbers.
- `dermolib.evaluation`: a fitted model to a judgement.
- `dermolib.reporting`: numbers to pictures and files.

The leaves that stages share are `dermolib.diagnoses`, the vocabulary, `dermolib.images`, files to
arrays and back, `dermolib.hdf5`, images of an HDF5 file, `dermolib.store`, prepared images in one
file, `dermolib.loaders`, datasets to batches, `dermolib.resident`, batches that lie on the device,
`dermolib.metadata`, what a metadata vector means, and `dermolib.penultimate`, what a classifier
knows before it decides. Names load when they are first used: importing dermolib imports nothing
heavy.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
