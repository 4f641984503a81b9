"""The options of a Trainer together, and what they make of a model and of data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from dermolib.models.devices import on_cuda
from dermolib.training.balance import Balance
from dermolib.training.engine import Place
from dermolib.training.identity import configuration
from dermolib.training.loaders import as_loader, check_labels
from dermolib.training.recipe import Recipe, RunOptions

if TYPE_CHECKING:
    from dermolib.training.module import ClassifierModule

__all__ = ["Setup"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that a Trainer knows besides its model.

    Attributes:
        class_names: Names of the K classes.
        recipe: How a model is trained.
        balance: What is done about classes of different size.
        place: Where it computes.
        options: Options of a run.
        channels_last: Whether images lie channel by channel.
    """

    class_names: tuple[str, ...]
    recipe: Recipe
    balance: Balance
    place: Place
    options: RunOptions
    channels_last: bool

    def configuration(self, model: nn.Module) -> dict[str, Any]:
        """Describe what decides, besides the images, how a run of the model ends."""
        return configuration(model, self.recipe, self.balance, self.place, self.options)

    def module(self, model: nn.Module, class_weights: Tensor | None = None) -> "ClassifierModule":
        """Put a model together with its loss, optimiser and metrics."""
        # Seconds to import, and needed by what computes alone
        from dermolib.training.module import ClassifierModule

        return ClassifierModule(
            model,
            num_classes=len(self.class_names),
            recipe=self.recipe,
            class_weights=class_weights,
            seed=self.options.seed,
            channels_last=self.channels_last,
        )

    def training_set(self, train: Any, validation: Any = None) -> tuple[Any, Tensor | None]:
        """Put a training set into batches, and weigh its classes.

        Args:
            train: Training set.
            validation: Validation set, whose labels are looked at too, or None.

        Returns:
            Loader, and the weights of the classes in the loss (K,) or None.
        """
        check_labels(train)
        loader = self.loader(train, "train", shuffle=True, odds=self.balance.odds(train))
        self.balance.check(train, validation)
        return loader, self.balance.loss_weights(train)

    def loader(self, data: Any, name: str, *, shuffle: bool = False, odds: Any = None) -> Any:
        """Put a set into batches; see `dermolib.training.loaders.as_loader`."""
        pin = on_cuda(self.place.device)
        return as_loader(data, name, self.options, shuffle=shuffle, odds=odds, pin=pin)
