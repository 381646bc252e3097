"""The pooling of all levels in one pass, compiled from C at its first use."""

from .ops import pool, status, usable
from .plan import Geometry

__all__ = ["Geometry", "pool", "status", "usable"]
