"""The mean of a training's states, kept up while it runs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Set
from pathlib import Path

from torch import Tensor

from revela.training.checkpoints import kept_state, save_state


class RunMean:
    """Each state counts alike. A training that goes on at an earlier step finds the mean until then.

    Args:
        folder: its own; holds one mean for each number of states that may still be asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, state: Mapping[str, Tensor], count: int) -> None:
        """Write the mean of `count` states, of which this is the last.

        Raises:
            RevelaError: that of the states before is gone.
        """
        # In place: a state is as large as the model. Of adapters the factors are averaged, whose product
        # is near the mean of the products where they differ little.
        mean = dict(state) if count == 1 else self.of(count - 1)
        if count > 1:
            for name, weight in mean.items():
                weight.lerp_(state[name].to(weight.device, weight.dtype), 1 / count)
        save_state(mean, self._place(count))

    def of(self, count: int) -> dict[str, Tensor]:
        """The mean of the first `count` states.

        Raises:
            RevelaError: it is gone.
        """
        return kept_state(self._place(count), self._folder.parent.parent)

    def keep(self, counts: Set[int]) -> None:
        """Delete the means of other numbers of states."""
        for place in self._folder.glob("[0-9]*"):
            if int(place.name) not in counts:
                shutil.rmtree(place)

    def _place(self, count: int) -> Path:
        return self._folder / str(count)
