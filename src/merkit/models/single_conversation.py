"""One encoder of whole conversations, the frames of each turn pooled, a linear head.

The same network as ``single``, for an encoder that reads a conversation as a whole (``bert`` with
``context = "conversation"``): each turn is encoded once, with what was said before and after it. With any other encoder
it is ``single`` with conversations for batches.
"""

from merkit.core.model import ModelSpec
from merkit.models._single import Single, SingleConfig

SPEC = ModelSpec(
    name="single_conversation",
    summary="one encoder that reads a conversation as a whole, each turn pooled, with a linear head",
    level="conversation",
    config=SingleConfig,
    build=Single,
    multi_label=True,
    modalities=(1, 1),
)
