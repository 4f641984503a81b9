from .alexnet import alexnet as alexnet
from .custom_cnn import custom_cnn as custom_cnn
from .feature_extractor import FeatureExtractor as FeatureExtractor
from .resnet import resnet as resnet
from .settings import InputSettings as InputSettings
from .settings import Normalization as Normalization

__all__: list[str]
