"""Other settings for a network that is trained: what the views may weigh, where the network is asked, what counts as abnormal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .method_settings import View, Views
from .settings import Settings

_MOST = 8
_STEP = 0.1  # between levels
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
    """The same settings with other views."""
    return replace(settings, invdetect=replace(settings.invdetect, views=views))


def _others(views: Views) -> Iterator[tuple[str, Views]]:
    """In the order in which they are worth trying."""
    if views.direction == "both":
        yield "bright alone", replace(views, direction="bright")
        yield "dark alone", replace(views, direction="dark")
    if len(views.sum) > 1:
        for number, view in enumerate(views.sum):
            yield f"without {_called(view)}", replace(views, sum=views.sum[:number] + views.sum[number + 1 :])
    if any(view.kind == "noise" for view in views.sum):
        for step in (-_STEP, _STEP):
            levels = tuple(round(level + step, 6) for level in views.levels)
            if all(0 < level < 1 for level in levels):
                yield f"level {', '.join(f'{level:g}' for level in levels)}", replace(views, levels=levels)
    if len(views.sum) > 1:
        for number, view in reversed(list(enumerate(views.sum))):
            twice = replace(view, weight=2 * view.weight)
            yield f"{_called(view)} twice", replace(views, sum=views.sum[:number] + (twice,) + views.sum[number + 1 :])


def _called(view: View) -> str:
    name = {"noise": "predicted noise", "intensity": "brightness", "one-class": "latents"}.get(view.kind, view.kind)
    return f"left against right of {name}" if view.mirror else name
