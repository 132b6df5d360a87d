"""The classical way, end to end: a CNN of your own, an LSTM behind it, trained by plain torch, then a file that runs."""

import argparse
import sys

import torch
from torch import nn

from streamrec import CNNLSTM, Recognizer, StreamrecError, StreamRecognizer, VideoFile, World, WorldSettings
from streamrec.nn.model import sum_of_step_losses

LABELS, FPS, FRAMES = ("idle", "wave"), 10.0, 12


def stream(seconds: float, seed: int) -> World:
    """Your videos would stand here: frames with the label of each."""
    settings = {"width": 64, "height": 48, "fps": FPS, "actions": LABELS, "scene_seconds": 6.0}
    return World(WorldSettings(**settings, action_seconds=(1.5, 3.0), seconds=seconds, seed=seed))


def clips(model: CNNLSTM, world: World):
    """(N, T, 3, H, W) and (N, T): what the camera shows, cut into clips, and the label of each frame."""
    frames = list(world)
    images = torch.stack([torch.from_numpy(model.transform(frame.image)) for frame in frames])
    targets = torch.tensor([LABELS.index(frame.truth) for frame in frames])
    count = len(frames) // FRAMES
    images = model.normalized(images)[: count * FRAMES]
    return images.unflatten(0, (count, FRAMES)), targets[: count * FRAMES].unflatten(0, (count, FRAMES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="own.safetensors", help="the model file to write")
    parser.add_argument("--steps", type=int, default=80, help="of training")
    options = parser.parse_args()
    torch.manual_seed(0)
    cnn = nn.Sequential(  # any CNN: (N, 3, H, W) -> features
        *(nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()),
    )
    model = CNNLSTM(cnn, hidden_size=32, num_classes=2, labels=LABELS, image_size=(48, 64), fps=FPS)
    images, targets = clips(model, stream(120.0, seed=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(options.steps):
        batch = torch.randint(len(images), (8,))
        loss = sum_of_step_losses(model(images[batch]), targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 19:
            print(f"step {step + 1}: loss {loss.item() / FRAMES:.3f} a frame")
    recognizer = Recognizer(model)  # the state is carried from frame to frame, and no class of yours is needed
    recognizer.save(options.out)  # streamrec run 0 --model own.safetensors
    watched = StreamRecognizer(recognizer, fps=FPS)
    with VideoFile("own.mp4") as video:
        for frame in stream(20.0, seed=2):
            result = watched.recognize(frame.image, frame.timestamp)
            video.write(result)  # with the overlay
            for event in result.events:
                print(event)
    print(*watched.finish(), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except StreamrecError as error:
        sys.exit(f"own_cnn: {error}")
