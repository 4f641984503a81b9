from .border import Box as Box
from .border import border_mask as border_mask
from .border import crop_border as crop_border
from .border import field_of_view as field_of_view
from .color import correct as correct
from .color import illuminant as illuminant
from .color import shades_of_gray as shades_of_gray
from .fill import fill_mask as fill_mask
from .fill import list_fills as list_fills
from .lightness import lightness as lightness
from .occlusion import DEFAULT_METHOD as DEFAULT_METHOD
from .occlusion import REFERENCE_SIZE as REFERENCE_SIZE
from .occlusion import list_occlusion_methods as list_occlusion_methods
from .occlusion import method_options as method_options
from .occlusion import occlusion_mask as occlusion_mask
from .occlusion import occlusion_removal as occlusion_removal
from .occlusion_module import OcclusionRemoval as OcclusionRemoval
from .preparation import prepare as prepare
from .segmentation import segment_lesion as segment_lesion
from .steps import STEPS as STEPS
from .steps import Step as Step

__all__: list[str]
