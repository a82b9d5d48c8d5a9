"""Text to image: are there the digits that the caption asks for?

    python tests/benchmarks/quality/text_to_image.py --seeds 0 1 2
    python tests/benchmarks/quality/text_to_image.py fine_tuned untrained --seeds 0

Each is a run of `scratchnn train text_to_image` with --encoder fine_tuned, frozen or
untrained, kept in runs/quality. A classifier of its own, of real pictures with these
captions, says which digit it sees and how many of it: 20 classes, and both must be
right. Seen scenes had pictures in training; the captions of the others had none.
--quick: a short run, no figures kept.
"""

import functools

import numpy as np

from common import arguments
from scratchnn import data, optim, plot
from scratchnn.models import classifier
from scratchnn.recipes import text_to_image as recipe
from texts import RUNS, SHEETS, script, trained

TITLE = "text to image, encoder {}"
TIMES = 4  # pictures of each caption
STEPS = 9000  # half as many again as the command's


@functools.cache
def judge(steps):
    """(classifier, share of held-out pictures that it has right)."""
    rng = np.random.default_rng(0)
    model = classifier.Classifier((16, 16), 20, (32, 64), 128, rng=rng)
    x, _, labels = data.captions(20_000, "train", rng=rng)
    y = class_of(labels)
    rows = (rng.integers(len(x), size=64) for _ in range(steps))
    adam = optim.Adam(model.parameters(), lr=2e-3)
    falling = optim.CosineAnnealingLR(adam, T_max=steps)
    for _ in classifier.train(model, ((x[i], y[i]) for i in rows), adam, 1, rng):
        falling.step()
    test = data.captions(3000, "test", rng=rng)
    right = classifier.accuracy(model, test.images, class_of(test.labels))
    return model, right


def class_of(labels):
    """Digit and count (N, 2) as one of 20 classes."""
    return labels[:, 0] + 10 * (labels[:, 1] - 1)


def obeyed(by, model, config, scenes, seed, guidance=None):
    """The share of pictures of some scenes that show the digit, as often as asked."""
    scenes = [scene for scene in scenes for _ in range(TIMES)]
    rng = np.random.default_rng([seed, 1])
    x = recipe.pictures(
        model, config, [scene.text for scene in scenes], rng, guidance=guidance
    )
    y = class_of(np.array([(scene.digit, scene.count) for scene in scenes]))
    return float((classifier.probabilities(by, x).argmax(axis=1) == y).mean())


def measure(encoder, seed, folder=None, **options):
    """A run and its figures, as a generator of (figure, bar, value)."""
    place = (folder or RUNS) / f"text_to_image-{encoder}-{seed}"
    how = {"steps": STEPS, "encoder": encoder} | options
    model, config, seconds = trained("text_to_image", "captions", seed, place, **how)
    yield "training (minutes)", "", seconds / 60
    by, right = judge(2500 if folder is None else 50)
    yield "held-out pictures that the classifier has right", "", right
    seen, unseen = recipe.seen_scenes()
    bar = "at least 0.9" if encoder == "fine_tuned" else ""
    share = obeyed(by, model, config, seen + unseen, seed)
    yield "pictures that show what was asked, of all captions", bar, share
    share = obeyed(by, model, config, unseen, seed)
    yield "the same, of captions that never had a picture", "", share
    for w in (0.0, 3.0):
        share = obeyed(by, model, config, seen + unseen, seed, w)
        yield f"the same of all captions, guidance {w:g}", "", share
    share = obeyed(by, model, config, seen + unseen, seed, -1.0)
    yield "the same, the caption not heard", "", share
    if encoder == "fine_tuned" and seed == 0 and folder is None:
        rng = np.random.default_rng(0)
        figures = recipe.figures(model, config, None, rng)
        for name, figure in zip(recipe.PICTURES, figures):
            plot.save(figure, SHEETS / f"text-to-image-{name}")


def main(argv=None):
    """All encoders for each seed, into results/text_to_image.json."""
    asked = arguments(__doc__, argv)
    SHEETS.mkdir(parents=True, exist_ok=True)
    short = dict(text_steps=20, picture_steps=20, steps=80)
    script("text_to_image", asked, recipe.ENCODERS, measure, TITLE, **short)


if __name__ == "__main__":
    main()
