"""GPT on tiny shakespeare beside PyTorch's; and what a cache of keys and values saves.

    python tests/benchmarks/quality/gpt.py shakespeare --seeds 0 1 2
    python tests/benchmarks/quality/gpt.py cache

The recipe is nanoGPT's for a computer without a GPU: 4 layers, 4 heads, 128 wide,
windows of 64 characters, batches of 12, 2,000 steps. Published there: 1.88 nats per
character on the last tenth, by 20 random batches; here it is the whole of that tenth.
Steps of PyTorch (eager, on the CPU, as many threads) alternate with ours in blocks, so
that both have the same machine. For that: pip install torch. --quick: 30 steps.
"""

import importlib.util
import time

import numpy as np
from common import arguments
from texts import RUNS, nats, script, trained

from scratchnn import data, recipes
from scratchnn.models import generation, transformer

RECIPE = recipes.get("gpt")


# ---- tiny shakespeare -----------------------------------------------------------
def shakespeare(seed, folder=None, **options):
    """Nats per character held out, the time, and that of PyTorch."""
    place = (folder or RUNS) / f"gpt-shakespeare-{seed}"
    model, config, seconds = trained("gpt", "shakespeare", seed, place, **options)
    _, test, _ = RECIPE.read(config)
    value, n = nats(RECIPE, model, config, test)
    yield f"nats per character, {n:,} held out", "at most 1.90", value
    yield "training with its tests and samples (s)", "", seconds
    if importlib.util.find_spec("torch") is None:
        print("no torch here: pip install torch for the times of PyTorch")
        return
    ours, theirs = side_by_side(config, blocks=3 if options else 12)
    yield "ms a step, scratchnn", "", 1000 * ours
    yield "ms a step, PyTorch", "", 1000 * theirs
    yield "time of a step, scratchnn divided by PyTorch", "at most 1", ours / theirs


def side_by_side(config, blocks=12, steps=20):
    """Seconds a step of both, the medians over blocks that take turns."""
    config = {**config, "total": blocks * steps}
    train, _, _ = RECIPE.read(config)
    rng = np.random.default_rng(0)
    windows = data.Windows(train.tokens, config["length"], config["batch"], rng=rng)
    batches = [x for _, x in zip(range(steps), windows)]
    model, optimizers = RECIPE.build(config, rng)
    endless = (x for _ in iter(int, 1) for x in batches)
    ours = RECIPE.train(model, optimizers, endless, config, rng)
    theirs = torch_training(len(config["tokenizer"]), config, batches)
    times = [], []
    for block in range(blocks + 1):  # the first warms up
        for steps_of, kept in zip((ours, theirs), times):
            start = time.perf_counter()
            for _ in zip(range(steps), steps_of):
                pass
            if block:
                kept.append((time.perf_counter() - start) / steps)
    return tuple(float(np.median(kept)) for kept in times)


def torch_training(N_V, config, batches):
    """nanoGPT's model and step in PyTorch: a generator of losses."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    d_e, H, L = config["width"], config["heads"], config["layers"]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(d_e), nn.LayerNorm(d_e)
            self.qkv, self.out = nn.Linear(d_e, 3 * d_e), nn.Linear(d_e, d_e)
            self.up, self.down = nn.Linear(d_e, 4 * d_e), nn.Linear(4 * d_e, d_e)

        def forward(self, x):
            B, T, _ = x.shape
            heads = self.qkv(self.norm1(x)).view(B, T, 3, H, d_e // H)
            q, k, v = heads.permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(B, T, d_e))
            h = F.gelu(self.up(self.norm2(x)), approximate="tanh")
            return x + self.down(h)

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(N_V, d_e)
            self.places = nn.Embedding(config["length"], d_e)
            self.blocks = nn.Sequential(*(Block() for _ in range(L)))
            self.norm = nn.LayerNorm(d_e)
            self.unembed = nn.Linear(d_e, N_V, bias=False)

        def forward(self, x):
            h = self.tokens(x) + self.places.weight[: x.shape[1]]
            return self.unembed(self.norm(self.blocks(h)))

    model = GPT()
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, config["lr"], (0.9, 0.99), weight_decay=0.1)
    while True:
        for batch in batches:
            x = torch.from_numpy(batch)
            logits = model(x[:, :-1])
            loss = F.cross_entropy(logits.reshape(-1, N_V), x[:, 1:].reshape(-1))
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            yield loss.item()


# ---- the cache --------------------------------------------------------------------
SIZES = {  # nanoGPT's for a GPU, whose windows have 256 tokens; and that from above
    "6 layers, 384 wide": (dict(d_e=384, L=6, H=6), "at least 5"),
    "4 layers, 128 wide": (dict(d_e=128, L=4, H=4), ""),
}


def cache(seed, folder=None, tokens=256, **options):
    """256 tokens with the cache and without: are they the same, and how much faster?"""
    x = np.random.default_rng(seed).integers(65, size=(1, 1))
    for name, (sizes, bar) in SIZES.items():
        rng = np.random.default_rng(seed)
        model = transformer.DTransformer(65, l_max=tokens, rng=rng, **sizes)
        written, seconds = {}, {}
        for cached in (True, False, True, False):
            how = dict(cached=cached, rng=np.random.default_rng(seed))
            start = time.perf_counter()
            drawn = generation.generate(model, x, tokens, **how)
            written[cached] = [int(y[0]) for y in drawn]
            seconds[cached] = time.perf_counter() - start  # of the second time
        same = np.mean(np.equal(written[True], written[False]))
        yield f"{name}: the same tokens, of {tokens} (%)", "at least 100", 100 * same
        yield f"{name}: tokens a second, with the cache", "", tokens / seconds[True]
        ratio = seconds[False] / seconds[True]
        yield f"{name}: times faster than without", bar, ratio


def measure(run, seed, folder=None, **options):
    """The figures of a run."""
    return {"shakespeare": shakespeare, "cache": cache}[run](seed, folder, **options)


def main(argv=None):
    """Each run for each seed, into results/gpt.json."""
    asked = arguments(__doc__, argv)
    script("gpt", asked, ["shakespeare", "cache"], measure, "GPT, {}", steps=30)


if __name__ == "__main__":
    main()
