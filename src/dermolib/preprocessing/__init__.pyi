from .artifacts import ARTIFACTS as ARTIFACTS
from .blank import is_blank as is_blank
from .border import Box as Box
from .border import border_mask as border_mask
from .border import field_of_view as field_of_view
from .color import correct as correct
from .color import illuminant as illuminant
from .folders import FolderReport as FolderReport
from .hair.lightness import lightness as lightness
from .hair.registry import method_options as method_options
from .steps import STEPS as STEPS
from .steps import Step as Step

__all__: list[str]
