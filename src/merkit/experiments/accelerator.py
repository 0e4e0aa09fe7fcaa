"""The accelerator that a training runs on."""

from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState, is_initialized

from merkit.core.errors import ConfigError
from merkit.core.precision import has_native_bfloat16
from merkit.experiments.recipe import Recipe


def settled_precision(recipe: Recipe) -> str:
    """Return the precision that this machine trains a recipe in: of ``auto``, bf16 where the device has it natively."""
    precision = recipe.training.precision
    if precision != "auto":
        return precision
    return "bf16" if has_native_bfloat16(PartialState().device) else "float32"


def open_accelerator(recipe: Recipe) -> Accelerator:
    """Return a fresh accelerator: a used one keeps its models in memory, and fp16's loss scale for the next one.

    Raises:
        ConfigError: The device cannot compute in the recipe's precision.
    """
    precision = settled_precision(recipe)
    mixed = {"float32": "no"}.get(precision, precision)
    if is_initialized() and AcceleratorState().mixed_precision != mixed:
        AcceleratorState._reset_state()  # a stage or variant of another precision: the library has no public way
    # A batch without a modality leaves that encoder's weights without gradients, which must not stop the others.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    try:
        accelerator = Accelerator(mixed_precision=mixed, kwargs_handlers=[unused])
    except ValueError as error:
        raise ConfigError(f"training.precision = '{precision}': {error} Set it to 'float32' or 'bf16'.") from error
    if mixed == "fp16" and accelerator.device.type == "cpu":  # the library would train in float32 without a word
        raise ConfigError("training.precision = 'fp16' needs an accelerator. Set it to 'float32' or 'bf16'.")
    return accelerator
