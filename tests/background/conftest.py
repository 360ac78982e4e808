from .rig import place

__all__ = ["place"]
