"""Phantoms: images computed from anatomy and physics, for where real ones cannot be had."""
