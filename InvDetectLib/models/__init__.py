"""What a model is made of: settings and their presets, the `.invdetect` file and its card, and where models are looked up.

In: the choices of a user, or the path or name of a model. Out: `Settings`, a `Model`, a card in words. Needs no more than the standard
library until the arrays of a model are read.
"""

from .alternatives import AS_GIVEN, alternatives, with_views
from .card_words import describe, sees
from .cards import (
    CHOSEN,
    DIRECTION_WORDS,
    LONGEST_TEXT,
    OTHER_DIRECTIONS,
    TEXTS,
    TrainedOn,
    calibrations,
    check_texts,
    first_sentence,
    one_line,
    read_texts,
    relied_on,
    size_text,
)
from .contrast_detail import EXAMPLES, HALF, KINDS, MOST, NOT_REHEARSED, REHEARSAL, ContrastDetail, Surface
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
from .presets import all_presets, choose_settings, preset, preset_names
from .ranges import Count, Lengths, OneOf, Range, Share, from_values, to_values

# isort: off
# What all settings share, and then those of each method.
from .settings import FOREGROUNDS, PLANES, Preparation, Refinement, Settings
from .settings import check_foreground, check_intensity, contradict, intensity_window
from .method_settings import BASES, DIRECTIONS
from .method_settings import Features, InvDetectSettings, Inversion, Network, Noise, Normality, Patches, Training, View, Views
from .method_settings import Matching, MatchGenSettings
# isort: on

__all__ = [
    "AS_GIVEN",
    "BASES",
    "CHOSEN",
    "ContrastDetail",
    "Count",
    "DIRECTIONS",
    "DIRECTION_WORDS",
    "EXAMPLES",
    "FOREGROUNDS",
    "Features",
    "HALF",
    "InvDetectSettings",
    "Inversion",
    "KINDS",
    "LONGEST_TEXT",
    "Lengths",
    "MOST",
    "NOT_REHEARSED",
    "MatchGenSettings",
    "Matching",
    "Model",
    "Network",
    "Noise",
    "Normality",
    "OTHER_DIRECTIONS",
    "OneOf",
    "PLANES",
    "Patches",
    "Preparation",
    "REHEARSAL",
    "Range",
    "Refinement",
    "SUFFIX",
    "Settings",
    "Share",
    "Surface",
    "TEXTS",
    "TrainedOn",
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
    "describe",
    "find_models",
    "first_sentence",
    "from_values",
    "intensity_window",
    "load_model",
    "models_folder",
    "one_line",
    "output_path",
    "preset",
    "preset_names",
    "read_header",
    "read_texts",
    "relied_on",
    "resolve_model",
    "sees",
    "shipped_folders",
    "size_text",
    "to_values",
    "with_views",
]
