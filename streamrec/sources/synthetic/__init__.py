"""A synthetic world: people-like figures that act before random cameras, with the exact truth for each frame.

Training and tests learn from it, and the demo shows it where there is no camera.
"""

from streamrec.sources.synthetic.poses import ACTIONS
from streamrec.sources.synthetic.world import LABELS, World, WorldSettings, clip, clips

__all__ = ["ACTIONS", "LABELS", "UNSEEN", "World", "WorldSettings", "clip", "clips"]

UNSEEN = 1_000_000  # seeds from here on are for evaluation and demos: no model is trained on them
