from . import augmentation as augmentation
from . import datasets as datasets
from . import diagnoses as diagnoses
from . import evaluation as evaluation
from . import folders as folders
from . import images as images
from . import metrics as metrics
from . import models as models
from . import preprocessing as preprocessing
from . import reporting as reporting
from . import training as training
from .augmentation import augment_offline as augment_offline
from .augmentation import list_presets as list_presets
from .augmentation import plan_offline as plan_offline
from .augmentation import preset as preset
from .augmentation import seed_worker as seed_worker
from .datasets import ISICDataset as ISICDataset
from .datasets import grouped_split as grouped_split
from .datasets import make_synthetic_challenge as make_synthetic_challenge
from .diagnoses import DIAGNOSES as DIAGNOSES
from .folders import remove_hair_from_folder as remove_hair_from_folder
from .metrics import WeightedAccuracy as WeightedAccuracy
from .metrics import class_weights as class_weights
from .metrics import weighted_accuracy as weighted_accuracy
from .models import build_model as build_model
from .models import list_models as list_models
from .preprocessing import OcclusionRemoval as OcclusionRemoval
from .preprocessing import fill_mask as fill_mask
from .preprocessing import list_fills as list_fills
from .preprocessing import list_occlusion_methods as list_occlusion_methods
from .preprocessing import occlusion_mask as occlusion_mask
from .preprocessing import occlusion_removal as occlusion_removal
from .preprocessing import shades_of_gray as shades_of_gray
from .training import Trainer as Trainer

__all__: list[str]
__version__: str
