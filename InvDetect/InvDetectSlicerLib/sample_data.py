"""The sample by the name that scripts know it by; it is drawn in `models.sample_data`."""

from .models import add_made_head

__all__ = ["add_made_head"]
