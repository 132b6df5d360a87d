"""The classical way, end to end: an own CNN, an LSTM behind it, trained with plain torch, then a file that runs."""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

from streamrec import CNNLSTM, Recognizer, StreamRecognizer, VideoFile, World, WorldSettings

LABELS, FPS, LENGTH = ("idle", "wave"), 10.0, 12


def clips_of(model: CNNLSTM, frames):
    """Frames with a label each -> normalized clips (N, T, 3, H, W), labels (N, T). Your own videos stand here."""
    images = model.normalized(torch.stack([torch.from_numpy(model.transform(f.image)) for f in frames]))
    targets = torch.tensor([LABELS.index(f.truth) for f in frames])
    count = len(frames) // LENGTH
    return (x[: count * LENGTH].unflatten(0, (count, LENGTH)) for x in (images, targets))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="training steps")
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    cnn = nn.Sequential(  # any CNN: (N, 3, H, W) -> features
        *(nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()),
    )
    model = CNNLSTM(cnn, hidden_size=32, num_classes=2, labels=LABELS, image_size=(48, 64), fps=FPS)
    settings = WorldSettings(
        width=64, height=48, fps=FPS, seconds=150.0, actions=LABELS, action_seconds=(2, 4)
    )
    frames = list(World(settings))
    images, targets = clips_of(model, frames[:1200])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = torch.randint(len(images), (8,))
        loss = F.cross_entropy(model(images[batch]).flatten(0, 1), targets[batch].flatten())  # of each step
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 19:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    recognizer = Recognizer(model)  # frame by frame from here on: the state is carried from one to the next
    recognizer.save("own.safetensors")  # streamrec run 0 --model own.safetensors
    stream = StreamRecognizer(recognizer)
    with VideoFile("own.mp4") as video:
        for frame in frames[1200:]:  # the same figure, later
            result = stream.recognize(frame.image, frame.timestamp)
            video.write(result)  # with the overlay
            for event in result.events:
                print(f"{frame.timestamp:6.1f} s  {type(event).__name__} {event.label}")


if __name__ == "__main__":
    main()
