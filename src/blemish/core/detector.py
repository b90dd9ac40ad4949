"""The contract of every method: what it looks at, what it learns from, and its answer in raw scores. Nothing else.

A detector is a torch module. Its constructor takes plain keyword hyper-parameters, keeps each under its own name and
touches no data. Everything it learns is a parameter or a buffer; a buffer that is still empty means "not fitted".
Normalisation belongs to the weights, in `features`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self, get_args

from torch import Tensor

from blemish.core.arguments import known_hyperparameters
from blemish.core.errors import CannotAdapt, InputError, UnknownName
from blemish.core.inputs import InputKind, kinds
from blemish.core.learned import Learned
from blemish.core.types import Batch, Scores

LearnsFrom = Literal["good", "unlabelled", "auxiliary", "nothing"]
"""Parts that `fit` is given.

"good": good parts of the product.
"unlabelled": parts of the product of which nobody says whether they are good; the tested ones, if there are any
    (transductive).
"auxiliary": labelled parts of other products, with their truth.
"nothing": none. All good parts serve the threshold.
"""


class Detector(Learned, ABC):
    """Learns what good looks like; answers how far a part is from it."""

    inputs: ClassVar[tuple[str, ...]] = ("image",)
    """The arguments of `forward`: kinds of input, see `blemish.core.inputs`."""

    learns_from: ClassVar[LearnsFrom] = "good"
    """What `fit` is given, see `LearnsFrom`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known_hyperparameters(cls)
        named = kinds(cls.inputs, cls.__name__)
        if cls.learns_from not in get_args(LearnsFrom):
            raise UnknownName(f"learns_from of {cls.__name__}", str(cls.learns_from), get_args(LearnsFrom))
        if cls.learns_from == "nothing" and cls.fit is not Detector.fit:
            raise InputError(
                f'{cls.__name__} learns from "nothing", but has a fit, which nobody would call; leave one out'
            )
        taken = list(inspect.signature(cls.forward).parameters)[1:]
        if cls.forward is not Detector.forward and taken != [kind.name for kind in named]:
            raise InputError(f"{cls.__name__}.forward takes {taken}, but inputs is {cls.inputs}; they must be the same")

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_check_inputs, with_kwargs=True)

    def fit(self, data: Iterable[Batch]) -> Self:
        """Learn; by default there is nothing to learn.

        A detector is fitted once; a fresh one is `type(d)(**d.params)`.

        Args:
            data: Batches of parts as `learns_from` says; may be iterated more than once.

        Returns:
            The detector itself.
        """
        return self

    def adapt(self, data: Iterable[Batch]) -> Self:
        """Learn further good parts, of this product or of another, and forget nothing; by default it cannot.

        Args:
            data: Batches of good parts; may be iterated more than once.

        Returns:
            The detector itself.

        Raises:
            CannotAdapt: the method has no way to learn on.
        """
        name = type(self).__name__
        raise CannotAdapt(
            f"{name} cannot learn further parts: what it learned would be lost. Fit a fresh one, "
            f"{name}(**model.params), on the earlier and the further parts together."
        )

    @abstractmethod
    def forward(self, image: Tensor) -> Scores:
        """Score parts. A method overrides it with the arguments that `inputs` names.

        Args:
            image: (B, 3, H, W) float32 RGB in [0, 1].

        Returns:
            Raw scores: (B,) of the parts and, from methods that localise, (B, H, W) of their pixels.

        Raises:
            InputError: before it is called: an input is missing, no tensor, or has another shape or integer values.
            NotFitted: `fit` was not called, for methods that learn.
        """

    def check_size(self, height: int, width: int) -> None:
        """Check, before the first image, that the frozen networks take inputs of a size; who resizes overrides it.

        Args:
            height: Of the input, in pixels.
            width: Of the input, in pixels.

        Raises:
            InputError: a network takes other sizes only.
        """
        for module in self.modules():
            check = None if module is self else getattr(module, "check_size", None)
            if check is not None:
                check(height, width)


def _check_inputs(detector: Detector, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Refuse what is no input, by type and shape alone: inspecting values would make a GPU wait."""
    values = {**dict(zip(detector.inputs, given, strict=False)), **named}
    for kind in kinds(detector.inputs, type(detector).__name__):
        if kind.name not in values:
            raise InputError(
                f"{type(detector).__name__} looks at {', '.join(detector.inputs)}; {kind.name} is missing ({kind.values})."
            )
        _check_input(kind, values[kind.name])


def _check_input(kind: InputKind, value: Any) -> None:
    name, channels = kind.name, kind.channels
    if not channels:
        if isinstance(value, str) or not all(isinstance(one, str) for one in value):
            raise InputError(f"{name} is {value!r}; it must be a list of texts, one a part: {kind.values}")
        return
    if not isinstance(value, Tensor):
        raise InputError(
            f"{name} is {type(value).__name__}; it must be a tensor (B, {channels}, height, width), float32 {kind.values}. "
            "Files and arrays are looked at by an Inspector: Inspector.load(file).inspect(image)"
        )
    if value.ndim != 4 or value.shape[1] != channels:
        one = f"For one part: {name}[None]." if value.ndim == 3 and value.shape[0] == channels else ""
        raise InputError(
            f"{name} has shape {tuple(value.shape)}; it must be (B, {channels}, height, width). "
            f"{one or 'Channels come second.'}"
        )
    if not value.is_floating_point():
        raise InputError(
            f"{name} holds {value.dtype} values; they must be float32, {kind.values}."
            f"{'' if kind.measured else f' For 0 to 255: {name}.float() / 255'}"
        )
