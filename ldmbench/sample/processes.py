"""Whether two models are of one forward process, so that one can guide the other; no torch."""

from __future__ import annotations

import numpy as np

from ldmbench.sample.flow import Flow
from ldmbench.sample.schedule import Schedule

__all__ = ["why_not_alike"]


def why_not_alike(ours: Schedule | Flow, theirs: Schedule | Flow) -> str | None:
    """Return where two forward processes or what networks predict differ, as a clause; or None.

    Args:
        ours: of the model that is guided.
        theirs: of the model that guides.

    Examples:
        >>> why_not_alike(Schedule(), Schedule(T=500))
        'it has 500 timesteps, not 1000'
        >>> why_not_alike(Flow(), Schedule())
        'it is a diffusion in betas, not a flow'
    """
    kinds = [
        "a flow" if isinstance(one, Flow) else "a diffusion in betas" for one in (ours, theirs)
    ]
    if isinstance(ours, Flow) and isinstance(theirs, Flow):
        for name in ("path", "noise_at", "prediction"):
            here, there = getattr(ours, name), getattr(theirs, name)
            if here != there:
                return f"its flow has {name} {there}, not {here}"
        return None
    if isinstance(ours, Flow) or isinstance(theirs, Flow):
        return f"it is {kinds[1]}, not {kinds[0]}"
    if ours.T != theirs.T:
        return f"it has {theirs.T} timesteps, not {ours.T}"
    if ours.prediction != theirs.prediction:
        return f"it predicts {theirs.prediction}, not {ours.prediction}"
    if not np.allclose(ours.alphas_cumprod(), theirs.alphas_cumprod(), rtol=1e-4, atol=1e-7):
        return "its betas are others"
    return None
