"""The list of all transforms, in the order in which they are applied."""

from collections.abc import Mapping

from merkit.experiments.cell import Cell
from merkit.experiments.transform import Transform, TransformSpec
from merkit.experiments.transforms import augmented_views, cross_fitted_features, distillation

TRANSFORMS: tuple[TransformSpec, ...] = (cross_fitted_features.SPEC, augmented_views.SPEC, distillation.SPEC)


def transforms_of(cell: Cell) -> Mapping[str, Transform]:
    """Return by name the transforms that a cell's recipe asks for.

    Raises:
        ConfigError: One of them cannot work on this cell.
    """
    made = {spec.name: spec.make(cell) for spec in TRANSFORMS}
    return {name: transform for name, transform in made.items() if transform is not None}
