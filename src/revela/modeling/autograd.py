"""What the checker should know of torch.autograd.Function: ``apply``, which torch leaves without types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    class Function(torch.autograd.Function):
        """One whose forward gives one tensor, as all of this package do."""

        @classmethod
        def apply(cls, *args: Any, **kwargs: Any) -> Tensor: ...

else:
    Function = torch.autograd.Function
