"""Weights from elsewhere: GPT-2's shape against a GPT-2 written out in PyTorch."""

import numpy as np
import pytest

from scratchnn import checkpoint
from scratchnn.models import interop
from scratchnn.models.transformer import DTransformer

N_V, D, L, H, PLACES = 11, 12, 2, 3, 7


def gpt2_state(seed=0):
    """Names and shapes of GPT-2's checkpoint; all values drawn."""
    rng = np.random.default_rng(seed)
    shapes = {"wte.weight": (N_V, D), "wpe.weight": (PLACES, D)}
    for i in range(L):
        for name, (n, m) in {
            "attn.c_attn": (D, 3 * D),
            "attn.c_proj": (D, D),
            "mlp.c_fc": (D, 4 * D),
            "mlp.c_proj": (4 * D, D),
        }.items():
            shapes[f"h.{i}.{name}.weight"] = (n, m)
            shapes[f"h.{i}.{name}.bias"] = (m,)
        for name in ("ln_1", "ln_2"):
            shapes[f"h.{i}.{name}.weight"] = shapes[f"h.{i}.{name}.bias"] = (D,)
    shapes["ln_f.weight"] = shapes["ln_f.bias"] = (D,)
    return {
        name: (rng.standard_normal(shape) / 3 + ("ln" in name)).astype(np.float32)
        for name, shape in shapes.items()
    }


def gpt2_in_pytorch(torch, state, x):
    """Radford et al. 2019 with the names of Hugging Face's file: Conv1D is x W + b."""
    F = torch.nn.functional
    p = {name: torch.tensor(w) for name, w in state.items()}

    def dense(name, x):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def norm(name, x):
        return F.layer_norm(x, (D,), p[f"{name}.weight"], p[f"{name}.bias"], 1e-5)

    def heads(x):
        return x.unflatten(-1, (H, D // H)).transpose(1, 2)

    x = torch.tensor(x)
    h = p["wte.weight"][x] + p["wpe.weight"][: x.shape[1]]
    for i in range(L):
        parts = dense(f"h.{i}.attn.c_attn", norm(f"h.{i}.ln_1", h)).split(D, -1)
        y = F.scaled_dot_product_attention(*map(heads, parts), is_causal=True)
        h = h + dense(f"h.{i}.attn.c_proj", y.transpose(1, 2).flatten(2))
        y = dense(f"h.{i}.mlp.c_fc", norm(f"h.{i}.ln_2", h))
        h = h + dense(f"h.{i}.mlp.c_proj", F.gelu(y, approximate="tanh"))
    return norm("ln_f", h) @ p.get("lm_head.weight", p["wte.weight"]).T


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("own_head", [False, True])
def test_gpt2s_weights_give_gpt2s_scores(own_head, prefix, tmp_path):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    state = gpt2_state()
    if own_head:
        state["lm_head.weight"] = gpt2_state(1)["wte.weight"]
    file = {prefix * (name != "lm_head.weight") + name: w for name, w in state.items()}
    file[f"{prefix}h.0.attn.bias"] = np.tri(PLACES, dtype=np.float32)[None, None]
    checkpoint.save(tmp_path / "model.safetensors", file)
    model = interop.gpt2(checkpoint.load(tmp_path / "model.safetensors")[0], H)
    x = np.random.default_rng(2).integers(0, N_V, (3, PLACES))
    expected = gpt2_in_pytorch(torch, state, x)
    np.testing.assert_allclose(model(x).data, expected, rtol=1e-5, atol=1e-5)
    assert not model.training and model.l_max == PLACES
    assert (model.W_u.weight is model.embed.W_e.weight) != own_head


def test_the_way_back_is_the_same_state():
    state = gpt2_state()
    back = interop.as_gpt2(interop.gpt2(state, H))
    assert back.keys() == state.keys() | {"lm_head.weight"}
    for name, w in state.items():
        np.testing.assert_array_equal(back[name], w)
    np.testing.assert_array_equal(back["lm_head.weight"], state["wte.weight"])


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="no 'wte.weight', so it is not GPT-2's; it h"):
        interop.gpt2({"embed.weight": np.zeros((2, 2))})
    state = gpt2_state()
    state["h.0.extra"] = state.pop("h.1.ln_1.bias")
    with pytest.raises(ValueError, match="missing: layers.1.norm1.bias") as error:
        interop.gpt2(state, H)
    assert "unexpected: h.0.extra" in str(error.value)
    with pytest.raises(ValueError, match="no embed.W_p.weight: GPT-2's shape is that"):
        interop.as_gpt2(DTransformer(5, 8, 1, 2, positions="rotary"))
