"""What a model is made of: settings and their presets, the `.invdetect` file and its card, and where models are looked up.

In: the choices of a user, or the path or name of a model. Out: `Settings`, a `Model`, a card in words. Needs no more than the standard
library until the arrays of a model are read.
"""

from .alternatives import AS_GIVEN, alternatives, with_views
from .cards import (
    CHOSEN,
    DIRECTION_WORDS,
    OTHER_DIRECTIONS,
    TEXTS,
    calibrations,
    check_texts,
    describe,
    first_sentence,
    one_line,
    read_texts,
    sees,
    size_text,
)
from .contrast_detail import EXAMPLES, HALF, KINDS, MOST, REHEARSAL, ContrastDetail, Surface, contrast_words
from .model import (
    SUFFIX,
    Model,
    check_whole,
    find_models,
    load_model,
    models_folder,
    output_path,
    read_header,
    resolve_model,
    shipped_folders,
)
from .presets import BASES, all_presets, choose_settings, preset, preset_names

# isort: off
# What all settings share, and then those of each method.
from .settings import DIRECTIONS, FOREGROUNDS, PLANES, Preparation, Refinement, Settings
from .settings import check_foreground, check_intensity, contradict, intensity_window
from .method_settings import Features, InvDetectSettings, Inversion, Network, Noise, Normality, Patches, Training, View, Views
from .method_settings import Matching, MatchGenSettings
# isort: on

__all__ = [
    "AS_GIVEN",
    "BASES",
    "CHOSEN",
    "ContrastDetail",
    "DIRECTIONS",
    "DIRECTION_WORDS",
    "EXAMPLES",
    "FOREGROUNDS",
    "Features",
    "HALF",
    "InvDetectSettings",
    "Inversion",
    "KINDS",
    "MOST",
    "MatchGenSettings",
    "Matching",
    "Model",
    "Network",
    "Noise",
    "OTHER_DIRECTIONS",
    "Normality",
    "PLANES",
    "Patches",
    "Preparation",
    "REHEARSAL",
    "Refinement",
    "SUFFIX",
    "Settings",
    "Surface",
    "TEXTS",
    "Training",
    "View",
    "Views",
    "all_presets",
    "alternatives",
    "calibrations",
    "check_foreground",
    "check_intensity",
    "check_texts",
    "check_whole",
    "choose_settings",
    "contradict",
    "contrast_words",
    "describe",
    "find_models",
    "first_sentence",
    "intensity_window",
    "load_model",
    "models_folder",
    "one_line",
    "output_path",
    "preset",
    "preset_names",
    "read_header",
    "read_texts",
    "resolve_model",
    "sees",
    "shipped_folders",
    "size_text",
    "with_views",
]
