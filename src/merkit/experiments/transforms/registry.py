"""The list of all transforms, in the order in which they are applied."""

from collections.abc import Mapping

from merkit.experiments.cell import Cell
from merkit.experiments.transform import Transform
from merkit.experiments.transforms.augmented_views import AugmentedViews
from merkit.experiments.transforms.cross_fitted_features import CrossFittedFeatures
from merkit.experiments.transforms.distillation import Distillation

TRANSFORMS: tuple[type[Transform], ...] = (CrossFittedFeatures, AugmentedViews, Distillation)


def transforms_of(cell: Cell) -> Mapping[str, Transform]:
    """Return by name the transforms that a cell's recipe asks for.

    Raises:
        ConfigError: One of them cannot work on this cell.
    """
    made = {transform.name: transform.of(cell) for transform in TRANSFORMS}
    return {name: transform for name, transform in made.items() if transform is not None}
