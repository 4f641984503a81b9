from .challenge import SyntheticSample as SyntheticSample
from .challenge import draw_sample as draw_sample
from .hair import draw_hair as draw_hair
from .hair import keep_visible as keep_visible
from .lesions import draw_lesion as draw_lesion

__all__: list[str]
