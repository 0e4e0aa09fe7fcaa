"""What holds for encoders whatever the lengths: padding, batch mates and the order of the data change nothing."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merkit.core.batch import Padded
from merkit.core.encoder import EncoderHome
from merkit.encoders.logmel import SPEC, LogMel, LogMelConfig
from merkit.encoders.networks.frozen import batches_by_length
from merkit.nn.standardization import Standardizer


def _logmel() -> LogMel:
    torch.manual_seed(0)
    return SPEC.build(LogMelConfig(n_mels=8, dim=8), "audio", EncoderHome()).eval()


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5), more=st.integers(0, 9), row=st.integers(0, 4))
def test_log_mel_vectors_do_not_depend_on_what_stands_beside(lengths: list[int], more: int, row: int) -> None:
    encoder, row = _logmel(), row % len(lengths)
    rng = np.random.default_rng(0)
    steps = max(lengths) + more
    data = torch.full((len(lengths), steps, 8), 1000.0)
    mask = torch.arange(steps) < torch.tensor(lengths)[:, None]
    data[mask] = torch.from_numpy(rng.normal(size=(sum(lengths), 8)).astype(np.float32))

    together = encoder(Padded(data, mask))
    alone = encoder(Padded(data[row : row + 1, : lengths[row]], mask[row : row + 1, : lengths[row]]))

    torch.testing.assert_close(together.data[row][together.mask[row]], alone.data[0], atol=1e-5, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=6), seed=st.integers(0, 99))
def test_statistics_do_not_depend_on_how_the_rows_are_cut_or_ordered(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(60, 3)) * [1.0, 50.0, 0.1] + [0.0, 1000.0, -3.0]
    rows[rng.random(rows.shape) < 0.2] = np.nan
    whole, cut = Standardizer(3), Standardizer(3)

    whole.fit([rows])
    cut.fit(np.split(rows[rng.permutation(60)], sorted(cuts)))

    torch.testing.assert_close(whole.mean, cut.mean)
    torch.testing.assert_close(whole.scale, cut.scale)
    np.testing.assert_allclose(whole.mean, np.nanmean(rows, 0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(whole.scale, 1 / np.nanstd(rows, 0), rtol=1e-5)


@given(lengths=st.lists(st.integers(1, 100), max_size=30), most=st.integers(1, 300))
def test_parts_hold_every_sequence_once_and_stay_within_the_bound(lengths: list[int], most: int) -> None:
    parts = batches_by_length(lengths, most)

    assert sorted(index for part in parts for index in part) == list(range(len(lengths)))
    assert all(len(part) == 1 or len(part) * max(lengths[index] for index in part) <= most for part in parts)
