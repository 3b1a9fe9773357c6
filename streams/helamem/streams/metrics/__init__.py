"""What is measured, and where it can be read: the catalogue, the values, the decorators, the port.

Nothing here is global but the catalogue: a `Metrics` is made by whoever runs a process and handed to what it measures.
"""

from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.server import Health, exposed

__all__ = ["Health", "Metrics", "exposed"]
