"""PyTorch's optimisers without its compiler.

On their first step these import `torch._dynamo`, to stay out of what it compiles. Nothing is compiled here, and in each job that
trains the import takes about as long as that of PyTorch itself.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, cast

import torch

Optimiser = TypeVar("Optimiser", bound=torch.optim.Optimizer)

_KEPT_FROM_COMPILING = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def eager(kind: type[Optimiser]) -> type[Optimiser]:
    """Return that optimiser with its methods as they are written, without what PyTorch puts around them for its compiler.

    Steps cannot be differentiated. Where a version of PyTorch puts nothing around a method, it is the method itself.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _KEPT_FROM_COMPILING}
    # What is around a step also turns gradients off.
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast(type[Optimiser], type(kind.__name__, (kind,), methods))


Adam = eager(torch.optim.Adam)
