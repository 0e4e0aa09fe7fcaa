"""A recording that is analyzed: aligned where that can be done, read frame by frame and said so where it cannot."""

import pytest
import soundfile

from merkit.core.alignment import SegmentRequest
from merkit.core.types import Utterance
from merkit.corpora._parley_voice import RATE_HZ, Manner, Voice, speak
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.data.segments.store import open_segments
from merkit.recordings.alignment import align_recording


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("call")
    speech = speak(["good", "morning"], Voice("en-us+m3", "male"), Manner(50, 50, 150, 100))
    soundfile.write(folder / "a.wav", 0.5 * speech.samples, RATE_HZ, subtype="PCM_16")
    texts = ["Good morning!", "Good moorning!", None]
    rows = [Utterance(str(n), "call", n, "s", text=text, audio="a.wav") for n, text in enumerate(texts)]
    return write_manifest(folder, rows, name="recording", version=1)


def test_what_pocketsphinx_can_align_has_segments_and_the_rest_is_told(manifest: Manifest) -> None:
    pytest.importorskip("pocketsphinx")
    request = SegmentRequest("pocketsphinx", ("word",))

    told = align_recording(request, manifest)

    assert told is not None
    assert told.startswith("1 of 2 utterances cannot be aligned: '1': 'moorning' is not in the dictionary")
    assert told.endswith("They were read frame by frame.")
    words = open_segments(request, manifest.turns(), manifest.root)["word"]
    times = words("0")
    assert times is not None
    assert times.shape == (2, 2)
    assert words("1") is None
    assert words("2") is None


def test_an_alignment_that_a_checkpoint_cannot_repeat_is_told(manifest: Manifest) -> None:
    request = SegmentRequest("files", ("word",))

    told = align_recording(request, manifest)

    assert told is not None
    assert told.startswith("2 of 2 utterances cannot be aligned: '0': an alignment like the checkpoint's 'files'")
    assert open_segments(request, manifest.turns(), manifest.root)["word"]("0") is None
