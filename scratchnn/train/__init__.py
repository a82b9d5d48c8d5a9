"""Training runs: progress, log, checkpoints, exact resume, snapshots, pictures.

A run is a folder:

    config.json             all that was asked for, enough to repeat the run
    log.csv                 the losses of every step; of held-out data each epoch, or
                            each few, at most 100 times in all
    checkpoint.safetensors  model, optimizers, noise generator, step: for resuming
    model.safetensors       the weights alone, which PyTorch can load too; if the run
                            keeps averages of them (optim.EMA), the averages
    snapshots/              samples drawn at about 40 steps, to be animated
    samples.txt             of a model of text: what it wrote at about 10 steps
    tokenizer.json          of a model of text: its vocabulary
    loss.png and others     drawn at the end

A resumed run goes on bit for bit as if it had never stopped, because a step is either
done or not begun, the shuffling of an epoch depends on the seed and the epoch alone,
and the checkpoint holds the state of the generator that the noise comes from.

`run` is a model in training, `begin` starts one or goes on with it, `loop` trains it,
`folder`, `snapshots` and `samples` know the files.
"""

from .begin import new, resumed, trained
from .folder import Diverged, RunError, reached, read_config
from .loop import SAVE_EVERY, Outcome, train
from .run import Run

__all__ = [
    "SAVE_EVERY",
    "Diverged",
    "Outcome",
    "Run",
    "RunError",
    "new",
    "reached",
    "read_config",
    "resumed",
    "train",
    "trained",
]
