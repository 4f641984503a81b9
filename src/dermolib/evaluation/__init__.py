"""A fitted model to a judgement."""

import lazy_loader

# What needs torch among these names must not bring it to those who want an interval
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
