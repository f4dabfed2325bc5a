"""No dropout, neither in the retriever nor in the language model."""

from __future__ import annotations

import logging

from torch import nn

log = logging.getLogger(__name__)


def switch_dropout_off(model: nn.Module) -> None:
    """Set every dropout rate of a model to 0, in place.

    The method has none, and fused attention over pairs could not repeat a mask of it. In the retriever
    it would choose the chunks that are read: at the paper's temperature of 1e-4 a change of a cosine by
    0.001 is ten logits. Models keep their rates under many names, on modules and in the configuration;
    all have `drop` in it.
    """
    changed = set()
    for module in model.modules():
        # Some layers read their rate from the config in every call (persimmon).
        for holder in (module, getattr(module, "config", None)):
            for name, rate in list(vars(holder).items()) if holder is not None else ():
                is_rate = "drop" in name or (name == "p" and isinstance(module, nn.Dropout))
                if is_rate and isinstance(rate, float) and rate > 0:
                    setattr(holder, name, 0.0)
                    changed.add(type(module).__name__)
    if changed:
        names = ", ".join(sorted(changed))
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        log.info("model of type '%s': dropout switched off (%s)", kind, names)
