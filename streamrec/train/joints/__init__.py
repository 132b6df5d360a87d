"""Keypoints of people who act, as a person detector would report them: what heads on keypoints learn from."""

from streamrec.train.joints.sequences import KINDS, LABELS, JointSequence, sequences

__all__ = ["KINDS", "LABELS", "JointSequence", "sequences"]
