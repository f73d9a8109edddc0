"""Other settings for a network that is trained: what the views may weigh, where the network is asked, what counts as abnormal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .method_settings import Views
from .settings import Settings

_MOST = 8
_STEP = 0.1  # between levels
_WORDS = {"noise": "predicted noise", "one-class": "latents", "intensity": "brightness"}
AS_GIVEN = "as given"


def alternatives(settings: Settings) -> dict[str, Settings]:
    """At most eight settings that share the network of a model with views, by what people call them; the first are its own.

    settings  as a trained model has them. A direction is tried where the model's is "both". One entry alone: there is nothing to choose.
    """
    views = settings.invdetect.views
    found = {AS_GIVEN: views}
    if settings.method == "invdetect" and views.sum:
        found |= dict(_others(views))
    return {name: with_views(settings, one) for name, one in list(found.items())[:_MOST]}


def with_views(settings: Settings, views: Views) -> Settings:
    """The same settings with other views, which make them a preset of their own."""
    if views == settings.invdetect.views:
        return settings
    return replace(settings, preset="custom", invdetect=replace(settings.invdetect, views=views))


def _others(views: Views) -> Iterator[tuple[str, Views]]:
    """In the order in which they are worth trying."""
    if views.direction == "both":
        yield "bright alone", replace(views, direction="bright")
        yield "dark alone", replace(views, direction="dark")
    every, names = views.sum, _names(views)
    if len(every) > 1:
        for number, name in enumerate(names):
            yield f"without {name}", replace(views, sum=every[:number] + every[number + 1 :])
    if any(view.kind == "noise" for view in every):
        for step in (-_STEP, _STEP):
            levels = tuple(round(level + step, 6) for level in views.levels)
            if all(0 < level < 1 for level in levels):
                yield f"level {', '.join(f'{level:g}' for level in levels)}", replace(views, levels=levels)
    if len(every) > 1:
        for number, name in reversed(list(enumerate(names))):
            twice = replace(every[number], weight=2 * every[number].weight)
            yield f"{name} twice", replace(views, sum=every[:number] + (twice,) + every[number + 1 :])


def _names(views: Views) -> list[str]:
    """What the views are called, each differently."""
    names = [_WORDS.get(view.kind, view.kind) for view in views.sum]
    names = [f"left against right of {name}" if view.mirror else name for name, view in zip(names, views.sum)]
    return [f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names, 1)]
