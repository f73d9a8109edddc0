"""Models and other files that come with the extension or with a user: which are installed, the sample, resources.

In: folders and files. Out: an `InstalledModel` with its card, usable or with the reason why not; the made head; paths of resources.
"""

from . import sample_data
from .installed import InstalledModel, NameTaken, checked_name, import_model, installed_models, read_model
from .resources import resource
from .sample_data import add_made_head, register_sample_data

__all__ = [
    "InstalledModel",
    "NameTaken",
    "add_made_head",
    "checked_name",
    "import_model",
    "installed_models",
    "read_model",
    "register_sample_data",
    "resource",
    "sample_data",
]
