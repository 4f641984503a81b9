from .analysis import Analysis as Analysis
from .analysis import analyze as analyze
from .artifacts import ARTIFACTS as ARTIFACTS
from .artifacts import artifact_table as artifact_table
from .artifacts import detect_artifacts as detect_artifacts
from .blank import is_blank as is_blank
from .border import Box as Box
from .border import border_mask as border_mask
from .border import field_of_view as field_of_view
from .color import correct as correct
from .color import illuminant as illuminant
from .folders import FolderReport as FolderReport
from .hair.lightness import lightness as lightness
from .hair.registry import method_options as method_options
from .lesion_folder import SegmentationReport as SegmentationReport
from .lesion_folder import segment_folder as segment_folder
from .segmentation import list_segmentation_methods as list_segmentation_methods
from .segmentation_module import LesionSegmentation as LesionSegmentation
from .steps import STEPS as STEPS
from .steps import Step as Step

__all__: list[str]
