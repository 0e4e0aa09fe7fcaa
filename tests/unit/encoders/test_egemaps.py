import copy
import sys

import numpy as np
import pytest
import torch

from merkit.core.batch import Padded
from merkit.core.encoder import EncoderConfig, EncoderHome
from merkit.core.errors import MerkitError
from merkit.encoders.egemaps import SPEC

pytest.importorskip("opensmile", reason="the extra 'prosody' is not installed")


def build():
    return SPEC.build(EncoderConfig(), "audio", EncoderHome())


def tone(pitch_hz: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * 16_000)) / 16_000
    return (0.1 * sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, 6))).astype(np.float32)


def test_the_set_s_88_measures_are_those_of_the_recording_alone(record):
    encoder = build()
    turns = [record(tone(110.0), "a"), record(tone(220.0), "b")]

    low, high = encoder.extract(turns)

    assert low.shape == encoder.blank().shape == (1, encoder.dim) == (1, 88)
    assert encoder.columns[0] == "F0semitoneFrom27.5Hz_sma3nz_amean"
    assert (low[0, 0], high[0, 0]) == pytest.approx((24.0, 36.0), abs=0.2)  # 2 and 3 octaves above 27.5 Hz
    np.testing.assert_array_equal(encoder.extract([turns[1]])[0], high)
    assert np.isfinite(low).all()


@pytest.mark.parametrize("samples", [300, 959])
def test_a_recording_too_short_for_the_windows_has_undefined_measures(record, samples):
    encoder = build()

    (array,) = encoder.extract([record(tone(110.0)[:samples])])

    assert np.isnan(array).all()
    encoder.fit([np.ones((1, 88)), np.zeros((1, 88))])
    output = encoder(Padded(torch.from_numpy(array)[None], torch.tensor([[True]])))
    assert output.data.tolist() == [[[0.0] * 88]]


def test_the_shortest_recording_that_opensmile_measures_is_measured(record):
    (array,) = build().extract([record(tone(110.0)[:960])])  # one sample less, and openSMILE says "Segment too short"

    assert np.isfinite(array).all()


def test_a_copy_measures_the_same(record):
    encoder, turn = build(), record(tone(110.0))

    np.testing.assert_array_equal(copy.deepcopy(encoder).extract([turn])[0], encoder.extract([turn])[0])


def test_the_model_card_names_the_licence():
    assert "research" in build().describe()["licence"]
    assert build().fingerprint() == {"encoder": "egemaps", "version": 1, "rate_hz": 16_000}


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)

    with pytest.raises(MerkitError, match=r"pip install 'merkit\[prosody\]'"):
        build()
