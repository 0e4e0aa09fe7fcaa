"""Networks of the encoders' own tests serve the models' tests as well."""

from tests.unit.encoders.conftest import tiny_bert

__all__ = ["tiny_bert"]
