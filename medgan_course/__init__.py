"""Generative adversarial networks for medical imaging: the library behind the course."""

from importlib.metadata import version

__version__ = version("medgan-course")
