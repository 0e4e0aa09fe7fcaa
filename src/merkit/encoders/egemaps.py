"""The 88 voice measures of eGeMAPS (v02) by openSMILE, one row per utterance.

Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing", IEEE
Transactions on Affective Computing 7 (2016). openSMILE is free for research and private use, not for products.
"""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.core.encoder import EncoderConfig, EncoderHome, EncoderSpec
from merkit.core.errors import MerkitError
from merkit.encoders.sound.measures import SoundMeasures
from merkit.encoders.sound.samples import RATE_HZ

_SHORTEST_S = 0.06
"""The longest of the set's windows, that of pitch."""


def egemaps(smile: Any, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the measures ``[1, 88]`` of a waveform ``[time]`` at 16 kHz.

    All are undefined in a recording too short for openSMILE's windows.
    """
    if len(samples) < _SHORTEST_S * RATE_HZ:  # openSMILE would warn and return the same
        return np.full((1, len(smile.feature_names)), np.nan)
    return np.asarray(smile.process_signal(samples, RATE_HZ), dtype=np.float64)


def build(config: EncoderConfig, modality: str, home: EncoderHome) -> SoundMeasures:
    """Return the encoder; it needs no files.

    Raises:
        MerkitError: The extra ``prosody`` is not installed.
    """
    try:
        import opensmile
    except ImportError:
        raise MerkitError("The encoder 'egemaps' needs the extra 'prosody': pip install 'merkit[prosody]'") from None
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )
    licence = "openSMILE's: research and private use"
    return SoundMeasures("egemaps", 1, smile.feature_names, partial(egemaps, smile), licence=licence)


SPEC = EncoderSpec(
    name="egemaps",
    modalities=("audio",),
    summary="The 88 eGeMAPS measures of an utterance by openSMILE",
    config=EncoderConfig,
    build=build,
    extra="prosody",
)
