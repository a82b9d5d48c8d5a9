"""GPT-2's weights in a DTransformer, and a DTransformer's in GPT-2's shape.

    state, _ = checkpoint.load("gpt2/model.safetensors")
    model = interop.gpt2(state)

The layers of torch.nn need nothing of this: nn.MultiheadAttention,
nn.TransformerEncoderLayer and nn.TransformerDecoderLayer take their state as it is.
"""

import numpy as np

from .transformer import DTransformer

# What a layer's parts are called here and there. GPT-2 writes x W, so its matrices
# (Conv1D) are (in, out); a Linear's are (out, in).
NORMS = {"norm1": "ln_1", "norm2": "ln_2"}
MATRICES = {
    "attention.W_qkv": "attn.c_attn",
    "attention.W_o": "attn.c_proj",
    "W_mlp1": "mlp.c_fc",
    "W_mlp2": "mlp.c_proj",
}
MASKS = ".attn.bias", ".attn.masked_bias"  # constants that some files have


def _names(L):
    """(our name, GPT-2's name, whether it is transposed) of all but lm_head."""
    yield "embed.W_e.weight", "wte.weight", False
    yield "embed.W_p.weight", "wpe.weight", False
    for i in range(L):
        ours, theirs = f"layers.{i}.", f"h.{i}."
        for kind in ("weight", "bias"):
            for a, b in MATRICES.items():
                yield f"{ours}{a}.{kind}", f"{theirs}{b}.{kind}", kind == "weight"
            for a, b in NORMS.items():
                yield f"{ours}{a}.{kind}", f"{theirs}{b}.{kind}", False
    for kind in ("weight", "bias"):
        yield f"norm.{kind}", f"ln_f.{kind}", False


def gpt2(state, H=None):
    """A DTransformer with the weights of a GPT-2-shaped state, {name: array}.

    Names as in Hugging Face's GPT2Model (wte.weight, h.0.attn.c_attn.weight, ...) or
    GPT2LMHeadModel (with "transformer." before them); sizes are read from the shapes.
    H: the number of heads, which no shape tells; GPT-2's d_e / 64 if None. Without
    lm_head.weight W_u is W_e. Raises ValueError that lists all that does not fit.
    """
    state = {
        name.removeprefix("transformer."): np.asarray(x)
        for name, x in state.items()
        if not name.endswith(MASKS)
    }
    for name in ("wte.weight", "wpe.weight"):
        if name not in state:
            found = ", ".join(sorted(state)[:5])
            raise ValueError(
                f"the state has no {name!r}, so it is not GPT-2's; it has {found}, ..."
            )
    (N_V, d_e), l_max = state["wte.weight"].shape, len(state["wpe.weight"])
    L = len({name.split(".")[1] for name in state if name.startswith("h.")})
    d_mlp = np.size(state.get("h.0.mlp.c_fc.bias", np.zeros(4 * d_e)))
    head = state.get("lm_head.weight", state["wte.weight"])
    tied = np.array_equal(head, state["wte.weight"])
    model = DTransformer(N_V, d_e, L, H or d_e // 64, d_mlp, l_max, tied=tied)
    ours = {a: x.T if turned else x for a, x, turned in _found(state, L)}
    left = state.keys() - {b for _, b, _ in _names(L)} - {"lm_head.weight"}
    ours.update({name: state[name] for name in left})  # reported as unexpected
    model.load_state_dict({**ours, "W_u.weight": head})
    return model.eval()


def _found(state, L):
    return ((a, state[b], turned) for a, b, turned in _names(L) if b in state)


def as_gpt2(model):
    """The state of a DTransformer by GPT-2's names, {name: array}.

    Raises ValueError for one with other than learned places and norms before.
    """
    state = model.state_dict()
    names = list(_names(len(model.layers)))
    lacking = [a for a, _, _ in names if a not in state]
    if lacking:
        raise ValueError(
            f"the model has no {lacking[0]}: GPT-2's shape is that of positions="
            "'learned' and norm='pre'"
        )
    theirs = {b: state[a].T if turned else state[a] for a, b, turned in names}
    return {**theirs, "lm_head.weight": state["W_u.weight"]}
