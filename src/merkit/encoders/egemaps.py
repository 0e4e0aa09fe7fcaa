"""The 88 voice measures of eGeMAPS (v02) by openSMILE, one row per utterance.

Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing", IEEE
Transactions on Affective Computing 7 (2016). openSMILE is free for research and private use, not for products.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from merkit.core.encoder import EncoderConfig, EncoderHome, EncoderSpec
from merkit.core.errors import MerkitError
from merkit.encoders.sound.measures import SoundMeasures
from merkit.encoders.sound.samples import RATE_HZ

_SHORTEST_S = 0.06
"""The longest of the set's windows, that of pitch."""


class EgemapsConfig(EncoderConfig):
    """No settings: the set is fixed."""


class Egemaps(SoundMeasures):
    """88 measures per utterance, ``[1, 88]``, standardised with the training split's statistics.

    All are undefined in a recording too short for openSMILE's windows.
    """

    name: ClassVar[str] = "egemaps"
    version: ClassVar[int] = 1

    def __init__(self, smile: Any) -> None:
        super().__init__(smile.feature_names)
        self._smile = smile

    def measure(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        if len(samples) < _SHORTEST_S * RATE_HZ:  # openSMILE would warn and return the same
            return np.full(len(self.columns), np.nan)
        table = self._smile.process_signal(samples, RATE_HZ)
        measures: npt.NDArray[np.float64] = np.asarray(table, dtype=np.float64)[0]
        return measures

    def describe(self) -> Mapping[str, Any]:
        return {**super().describe(), "licence": "openSMILE's: research and private use"}


def build(config: EgemapsConfig, modality: str, home: EncoderHome) -> Egemaps:
    """Return the encoder; it needs no files.

    Raises:
        MerkitError: The extra ``prosody`` is not installed.
    """
    try:
        import opensmile
    except ImportError:
        raise MerkitError("The encoder 'egemaps' needs the extra 'prosody': pip install 'merkit[prosody]'") from None
    return Egemaps(
        opensmile.Smile(feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals)
    )


SPEC = EncoderSpec(
    name="egemaps",
    modalities=("audio",),
    summary="The 88 eGeMAPS measures of an utterance by openSMILE",
    config=EgemapsConfig,
    build=build,
    extra="prosody",
)
