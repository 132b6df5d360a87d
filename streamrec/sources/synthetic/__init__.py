"""A synthetic world: people-like figures that act before random cameras, with the exact truth for each frame.

It gives training and tests something to learn, and a demo something to show where there is no camera.
"""

from streamrec.sources.synthetic.poses import ACTIONS
from streamrec.sources.synthetic.world import LABELS, World, WorldSettings, clip, clips

__all__ = ["ACTIONS", "LABELS", "UNSEEN", "World", "WorldSettings", "clip", "clips"]

UNSEEN = 1_000_000  # seeds from here on are for measuring and showing: no model is trained on them
