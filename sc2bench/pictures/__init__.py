"""Pictures of predictions: what models see in a few images, for people who look before they read."""

from sc2bench.pictures.suite import Choice, write_pictures

__all__ = ["Choice", "write_pictures"]
