"""What an address shows before it is saved."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec.errors import SourceError
from streamrec.outputs.plot import SIZE
from streamrec.web.trial_picture import snapshot


def test_readings_are_a_plot(tmp_path):
    path = tmp_path / "phone.csv"
    rows = [f"{n / 25},{np.sin(n / 5)},{n % 7}" for n in range(100)]
    path.write_text("\n".join(["seconds,x,y", *rows]))
    image = snapshot(str(path))
    assert image.shape == (SIZE[1], SIZE[0], 3)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10  # lines, and not the ground alone


def test_one_row_alone_is_shown_and_none_is_a_sentence(tmp_path):
    path = tmp_path / "phone.csv"
    path.write_text("seconds,x\n0,1\n")
    assert snapshot(str(path)).shape == (SIZE[1], SIZE[0], 3)
    path.write_text("seconds,x\n")
    with pytest.raises(SourceError):
        snapshot(str(path))
