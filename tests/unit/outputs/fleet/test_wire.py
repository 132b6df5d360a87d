"""What goes from machine to machine is the same there, whatever sense it is of."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec.outputs.fleet.wire import PACKER
from streamrec.pipeline.snapshot import bare
from streamrec.types import Frame


@pytest.mark.parametrize(
    "data", [np.ones((4, 6, 3), np.uint8), np.ones(6, np.float32), np.ones(0, np.float32)]
)
def test_a_frame_of_any_sense_arrives_without_its_data(data):
    sent = bare(Frame(data, 7, 0.7, 2, "door"))
    frame = PACKER.unpack(PACKER.pack({"last": sent}))["last"]
    assert (frame.index, frame.timestamp, frame.segment, frame.source) == (7, 0.7, 2, "door")
    assert frame.image.shape == data.shape and not any(frame.image.strides)
