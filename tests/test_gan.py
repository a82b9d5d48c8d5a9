"""GANs: losses by their formulas, Algorithm 1 against a slow loop, slopes by torch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import Tensor, gradcheck, nn, no_grad, ops, optim
from scratchnn.models import gan, gan_networks

RNG = np.random.default_rng
LOSSES = list(gan.GAMES)
N = 8


def double(model):
    """The model in float64, so that equations can be held tightly."""
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    return model


def small(**how):
    return double(gan_networks.mlp(2, 3, (7, 5), rng=RNG(0), **how))


def conv(**how):
    how = dict(norm="none", hidden=7, rng=RNG(0)) | how
    model = double(gan_networks.dcgan(8, 5, 3, **how))
    for p in model.parameters():
        p.data *= 10  # so that slopes are of the order of 1
    return model


def points(n=N, seed=1):
    return RNG(seed).normal(size=(n, 2))


def both(model, **how):
    made = {"lr": 0.1, "momentum": 0.5, **how}
    networks = {"G": model.G, "D": model.D}
    return {k: optim.SGD(m.parameters(), **made) for k, m in networks.items()}


def adams(model, lr):
    made = {}
    for k, network in (("G", model.G), ("D", model.D)):
        made[k] = optim.Adam(network.parameters(), lr, (0.5, 0.999))
    return made


def weights(network):
    return [p.data.copy() for p in network.parameters()]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b))


# ---- the losses -----------------------------------------------------------------
def sigmoid(a):
    return 1 / (1 + np.exp(-a))


FORMULAS = {  # V(D, G) by logits of data and of samples, G's loss by those of samples
    "minimax": (
        lambda a, b: np.mean(np.log(sigmoid(a))) + np.mean(np.log(1 - sigmoid(b))),
        lambda b: np.mean(np.log(1 - sigmoid(b))),
    ),
    "non_saturating": (
        lambda a, b: np.mean(np.log(sigmoid(a))) + np.mean(np.log(1 - sigmoid(b))),
        lambda b: -np.mean(np.log(sigmoid(b))),
    ),
    "least_squares": (
        lambda a, b: -0.5 * np.mean((a - 1) ** 2) - 0.5 * np.mean(b**2),
        lambda b: 0.5 * np.mean((b - 1) ** 2),
    ),
    "wgan_gp": (lambda a, b: np.mean(a) - np.mean(b), lambda b: -np.mean(b)),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_is_its_formula(loss):
    a, b = RNG(0).normal(scale=3, size=(2, 11))
    V, G = FORMULAS[loss]
    game = gan.GAMES[loss]
    assert float(game.value(a, b)) == pytest.approx(V(a, b), rel=1e-12)
    assert float(game.generator(b)) == pytest.approx(G(b), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_and_its_slopes_are_torchs(loss):
    torch = pytest.importorskip("torch", reason="the other computation is PyTorch's")
    a, b = RNG(1).normal(scale=3, size=(2, 11))
    real, fake = (torch.tensor(x, requires_grad=True) for x in (a, b))
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    mse = torch.nn.functional.mse_loss
    one, zero = torch.ones(11).double(), torch.zeros(11).double()
    theirs = {
        "minimax": (-bce(real, one) - bce(fake, zero), -bce(fake, zero)),
        "non_saturating": (-bce(real, one) - bce(fake, zero), bce(fake, one)),
        "least_squares": (-(mse(real, one) + mse(fake, zero)) / 2, mse(fake, one) / 2),
        "wgan_gp": (real.mean() - fake.mean(), -fake.mean()),
    }[loss]
    game = gan.GAMES[loss]
    x, y = (Tensor(t, requires_grad=True) for t in (a, b))
    ours = game.value(x, y), game.generator(y)
    for mine, other in zip(ours, theirs):
        assert float(mine) == pytest.approx(other.item(), rel=1e-12)
        x.grad = y.grad = real.grad = fake.grad = None
        mine.backward()
        other.backward()
        np.testing.assert_allclose(y.grad, fake.grad, rtol=1e-9)
        if real.grad is not None:
            np.testing.assert_allclose(x.grad, real.grad, rtol=1e-9)


def test_logits_of_any_size_give_finite_losses_and_slopes():
    a = Tensor(np.array([-1e4, 0, 1e4]), requires_grad=True)
    for loss in (gan.minimax, gan.non_saturating, lambda x: gan.value(x, x)):
        cost = loss(a)
        cost.backward()
        assert np.isfinite(float(cost)) and np.isfinite(a.grad).all()


def test_where_D_is_sure_minimax_is_flat_and_non_saturating_is_not():
    def slope(loss, D):
        a = Tensor(np.array([math.log(D / (1 - D))]), requires_grad=True)
        loss(a).backward()
        return a.grad[0]

    for D in (0.001, 0.01, 0.5):  # by the logit: -D and -(1 - D)
        assert slope(gan.minimax, D) == pytest.approx(-D, rel=1e-9)
        assert slope(gan.non_saturating, D) == pytest.approx(D - 1, rel=1e-9)


# ---- who moves ------------------------------------------------------------------
@pytest.mark.parametrize("loss", LOSSES)
def test_in_Ds_step_G_neither_moves_nor_gets_a_gradient(loss):
    model = small()
    G, D = weights(model.G), weights(model.D)
    gan.discriminator_step(model, points(), both(model)["D"], loss, rng=RNG(0))
    assert same(G, weights(model.G)) and not same(D, weights(model.D))
    assert all(p.grad is None for p in model.G.parameters())
    assert all(p.grad is not None for p in model.D.parameters())


@pytest.mark.parametrize("loss", LOSSES)
def test_in_Gs_step_D_neither_moves_nor_gets_a_gradient(loss):
    model = small()
    G, D = weights(model.G), weights(model.D)
    gan.generator_step(model, N, both(model)["G"], loss, rng=RNG(0))
    assert same(D, weights(model.D)) and not same(G, weights(model.G))
    assert all(p.grad is None for p in model.D.parameters())
    assert all(np.abs(p.grad).max() > 0 for p in model.G.parameters())
    assert len(model.D.parameters()) == 6  # trainable again


@pytest.mark.parametrize("loss", LOSSES)
def test_D_climbs_the_value_and_G_descends_its_loss(loss):
    model = small()
    before = gan.evaluate(model, points(), loss, rng=RNG(3))
    gan.discriminator_step(model, points(), both(model, lr=1e-3)["D"], loss, rng=RNG(3))
    after = gan.evaluate(model, points(), loss, rng=RNG(3))
    if loss != "wgan_gp":  # where the penalty may outweigh
        assert after.value > before.value
    with no_grad():
        noise = model.noise(N, RNG(4))
    answers = [gan.GAMES[loss].generator(model.judge(model.generate(noise)))]
    gan.generator_step(model, N, both(model, lr=1e-3)["G"], loss, rng=RNG(4))
    answers.append(gan.GAMES[loss].generator(model.judge(model.generate(noise))))
    assert float(answers[1]) < float(answers[0])


# ---- Algorithm 1 ----------------------------------------------------------------
def by_hand(A, b, w, c, batches, k, loss, rng, lr=0.1, momentum=0.5):
    """Algorithm 1 in NumPy for G(z) = A z + b, D(x) = sigmoid(w x + c), momentum."""
    velocity = [np.zeros_like(p) for p in (w, c, A, b)]
    for i in range(len(batches) // k):
        for x in batches[i * k : i * k + k]:
            z = rng.standard_normal((len(x), A.shape[1]))
            g_w, g_c = np.zeros_like(w), np.zeros_like(c)
            for n in range(len(x)):
                fake = A @ z[n] + b
                D_x, D_fake = sigmoid(w @ x[n] + c), sigmoid(w @ fake + c)
                # d log D(x) = (1 - D) x,  d log(1 - D(fake)) = -D fake
                g_w += ((1 - D_x) * x[n] - D_fake * fake) / len(x)
                g_c += ((1 - D_x) - D_fake) / len(x)
            for j, g in enumerate((g_w, g_c)):
                velocity[j] = momentum * velocity[j] + g
            w, c = w + lr * velocity[0], c + lr * velocity[1]  # ascends
        z = rng.standard_normal((len(x), A.shape[1]))
        g_A, g_b = np.zeros_like(A), np.zeros_like(b)
        for n in range(len(x)):
            D_fake = sigmoid(w @ (A @ z[n] + b) + c)
            slope = -D_fake if loss == "minimax" else D_fake - 1
            g_A += slope * np.outer(w, z[n]) / len(x)
            g_b += slope * w / len(x)
        for j, g in enumerate((g_A, g_b)):
            velocity[2 + j] = momentum * velocity[2 + j] + g
        A, b = A - lr * velocity[2], b - lr * velocity[3]  # descends
    return A, b, w, c


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
@pytest.mark.parametrize("k", [1, 3])
def test_training_is_algorithm_1_in_a_slow_loop(loss, k):
    model = double(gan_networks.mlp(2, 3, (), rng=RNG(0)))
    A, b = weights(model.G)
    w, c = weights(model.D)
    batches = [points(5, seed) for seed in range(6)]
    expected = by_hand(A, b, w[0], c, batches, k, loss, RNG(7))
    steps = list(gan.train(model, batches, both(model), loss, k, rng=RNG(7)))
    assert len(steps) == 6 // k
    found = *weights(model.G), weights(model.D)[0][0], weights(model.D)[1]
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_step_says_what_D_answered_before_it_moved():
    model = small()
    logits = [model.judge(points()).data]
    with no_grad():
        logits.append(model.judge(model.generate(model.noise(N, RNG(2)))).data)
    step = next(gan.train(model, [points()], both(model), rng=RNG(2)))
    on_real, on_fake = (sigmoid(a).mean() for a in logits)
    V = FORMULAS["minimax"][0](*logits)
    expected = [-V, V, on_real, on_fake]
    found = [step.loss, step.value, step.on_real, step.on_fake]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_gan_of_one_gaussian_finds_it():
    """Data N(3, 0.5^2), G(z) = a z + b: not found if a player is frozen, or climbs
    where it should descend."""
    rng = RNG(1)
    G = nn.MLP([1, 1], rng=rng)
    D = nn.MLP([1, 16, 16, 1], nn.Tanh, rng=rng)
    model = gan.GAN(G, D, z_dim=1)
    batches = (3 + 0.5 * rng.standard_normal((64, 1), np.float32) for _ in range(600))
    ema = optim.EMA(G, 0.99)
    made = adams(model, 0.01)
    steps = list(gan.train(model, batches, made, r1=0.3, rng=rng, ema=ema))
    with ema.averaged():
        x = gan.sample(model, 4000, rng=rng).data
    assert abs(x.mean() - 3) < 0.3 and 0.3 < x.std() < 0.7
    last = np.mean([s[:2] for s in steps[-100:]], axis=0)
    np.testing.assert_allclose(last, [2 * math.log(2), math.log(2)], atol=0.05)


# ---- penalties ------------------------------------------------------------------
def pictures(n=4, seed=3):
    return RNG(seed).uniform(-1, 1, (n, 1, 8, 8))


@pytest.mark.parametrize("of", ["gradient", "zero_centred"])
def test_the_penaltys_gradient_through_convolution_is_that_of_finite_differences(of):
    model = conv()
    x, x_fake = pictures(), pictures(seed=4)
    D = model.D.parameters()

    def penalty(*values):
        for p, value in zip(D, values):
            p.data = value
        if of == "gradient":
            return gan.gradient_penalty(model, x, x_fake, rng=RNG(0))
        return gan.zero_centred_penalty(model, x)

    before = weights(model.D)
    penalty(*before).backward()
    rng, h = RNG(5), 1e-6
    for i, p in enumerate(D):
        if i == len(D) - 1:  # the last bias moves no slope
            assert p.grad is None or not p.grad.any()
            continue
        u = rng.normal(size=p.shape)
        ends = []
        for side in (h, -h):
            moved = [w + side * u if j == i else w for j, w in enumerate(before)]
            ends.append(float(penalty(*moved)))
        along = 0 if p.grad is None else float((p.grad * u).sum())
        if p.ndim == 1:  # biases move slopes by kinks alone
            assert along == 0
        else:
            assert along == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-4)
            assert abs(along) > 1e-4


def test_the_penalty_of_smooth_layers_passes_the_gradient_checker():
    rng = RNG(0)
    W, v = rng.normal(size=(4, 1, 3, 3)), rng.normal(size=(1, 64))

    def penalty(W, v):
        class Smooth:
            pack, classes = 1, 0

            def judge(self, x, y=None):
                return ops.linear(
                    ops.tanh(ops.conv2d(x, W, stride=2)).reshape(len(x), -1), v[:, :36]
                ).reshape(-1)

        return gan.gradient_penalty(Smooth(), pictures(), pictures(4, 9), rng=RNG(1))

    gradcheck(penalty, Tensor(W), Tensor(v))


def test_the_penalty_and_its_gradient_are_torchs():
    torch = pytest.importorskip("torch", reason="the other computation is PyTorch's")
    model = conv()
    x, x_fake = pictures(), pictures(seed=4)
    critic = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 4, 2, 1),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Conv2d(3, 6, 4, 2, 1),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Flatten(),
        torch.nn.Linear(24, 7),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(7, 1),
    ).double()
    for theirs, ours in zip(critic.parameters(), model.D.parameters()):
        theirs.data = torch.tensor(ours.data)
    e = RNG(0).uniform(size=4).reshape(4, 1, 1, 1)
    x_hat = torch.tensor(e * x + (1 - e) * x_fake, requires_grad=True)
    (slope,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    theirs = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    theirs.backward()
    ours = gan.gradient_penalty(model, x, x_fake, rng=RNG(0))
    ours.backward()
    assert float(ours) == pytest.approx(theirs.item(), rel=1e-12)
    for p, q in zip(model.D.parameters(), critic.parameters()):
        if q.grad is not None and q.grad.any():
            np.testing.assert_allclose(p.grad, q.grad, rtol=1e-8, atol=1e-12)


def test_the_penalty_of_a_linear_critic_is_known():
    model = double(gan_networks.mlp(2, 3, (), rng=RNG(0)))
    model.D.parameters()[0].data = np.array([[3.0, 4.0]])  # a slope of 5 everywhere
    found = gan.gradient_penalty(model, points(), points(seed=2), rng=RNG(0))
    assert float(found) == pytest.approx(16)
    assert float(gan.zero_centred_penalty(model, points())) == pytest.approx(12.5)


def test_the_penalty_is_on_the_line_from_samples_to_data_or_on_data():
    class Bowl:  # D(x) = |x|^2 / 2, whose slope is x itself
        pack, classes = 1, 0

        def judge(self, x, y=None):
            return 0.5 * ops.square(x).sum(axis=1)

    x, x_fake = points(), points(seed=2)
    e = RNG(0).uniform(size=N)[:, None]
    there = np.linalg.norm(e * x + (1 - e) * x_fake, axis=1)
    found = gan.gradient_penalty(Bowl(), x, x_fake, rng=RNG(0))
    assert float(found) == pytest.approx(((there - 1) ** 2).mean())
    found = gan.zero_centred_penalty(Bowl(), x)
    assert float(found) == pytest.approx(0.5 * (x**2).sum(axis=1).mean())


def test_wgan_gps_step_uses_ten_times_the_penalty():
    model, x = small(), points()
    z = RNG(0).standard_normal((N, 3))
    with no_grad():
        x_fake = model.generate(z).data
        V = float((model.judge(x).mean() - model.judge(x_fake).mean()))
    rng = RNG(0)
    rng.standard_normal((N, 3))
    expected = 10 * float(gan.gradient_penalty(model, x, x_fake, rng=rng)) - V
    loss, value, *_ = gan.discriminator_step(
        model, x, both(model)["D"], "wgan_gp", rng=RNG(0)
    )
    assert loss == pytest.approx(expected) and value == pytest.approx(V)


# ---- packs and labels -----------------------------------------------------------
def test_packs_of_one_are_the_plain_gan():
    plain, packed = small(), small(pack=1)
    for model in (plain, packed):
        list(gan.train(model, [points()] * 3, both(model), rng=RNG(0)))
    assert same(weights(plain), weights(packed))


def test_a_pack_is_samples_side_by_side():
    model = small(pack=2)
    x = points(6)
    seen = []
    model.D = lambda packs: seen.append(packs) or packs[:, :1]
    assert model.judge(x).shape == (3,)
    np.testing.assert_array_equal(seen[0], np.hstack([x[::2], x[1::2]]))


def test_a_pack_of_pictures_is_more_channels():
    model = conv(pack=2)
    assert model.judge(pictures(4)).shape == (2,)
    assert model.D[0].weight.shape[1] == 2


def test_a_batch_that_packs_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="judges 2 samples at once and got 5"):
        small(pack=2).judge(points(5))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4), st.integers(0, 100))
def test_the_penalty_of_packs_is_by_pack(pack, seed):
    model = small(pack=pack)
    x, x_fake = points(3 * pack, seed), points(3 * pack, seed + 1)
    e = RNG(seed).uniform(size=3)
    packs = x.reshape(3, -1), x_fake.reshape(3, -1)
    plain = gan.GAN(model.G, model.D, 3)  # the same D, given packs as points
    expected = gan.gradient_penalty(plain, *packs, rng=RNG(seed))
    found = gan.gradient_penalty(model, x, x_fake, rng=RNG(seed))
    assert len(e) == 3 and float(found) == pytest.approx(float(expected))


def test_labels_reach_both_players_as_one_hot_numbers():
    model = small(classes=3)
    y = np.arange(N) % 3
    z = model.noise(N, RNG(0))
    hot = np.eye(3)[y]
    expected = model.G(np.hstack([z, hot])).data
    np.testing.assert_array_equal(model.generate(z, y).data, expected)
    x = points()
    expected = model.D(np.hstack([x, hot])).data[:, 0]
    np.testing.assert_array_equal(model.judge(x, y).data, expected)


def test_labels_of_pictures_are_maps_of_ones_and_zeros():
    model = conv(classes=3)
    seen = []
    model.D = lambda x: seen.append(x) or x[:, 0, 0, :1]
    model.judge(pictures(2), np.array([2, 0]))
    maps = seen[0][:, 1:]
    assert maps.shape == (2, 3, 8, 8)
    assert (maps[0, 2] == 1).all() and (maps[1, 0] == 1).all() and maps.sum() == 128


def test_a_conditional_gan_learns_what_its_labels_mean():
    rng = RNG(0)
    centres = np.array([[-2.0, 0], [2, 0]], np.float32)

    def batches(n):
        for _ in range(n):
            y = rng.integers(2, size=64)
            yield centres[y] + 0.2 * rng.standard_normal((64, 2), np.float32), y

    model = gan_networks.mlp(2, 2, (32,), classes=2, rng=rng)
    for _ in gan.train(model, batches(400), adams(model, 5e-3), r1=0.1, rng=rng):
        pass
    x = gan.sample(model, 200, rng=rng).data  # labels 0, 1, 0, 1, ...
    assert (x[::2, 0] < -1).mean() > 0.95 and (x[1::2, 0] > 1).mean() > 0.95


def test_a_conditional_gan_without_labels_says_so():
    with pytest.raises(ValueError, match=r"conditional: give labels y \(8,\)"):
        small(classes=3).judge(points())


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match="loss is 'hinge', expected one of minimax"):
        gan.evaluate(small(), points(), "hinge")


# ---- networks and samples -------------------------------------------------------
def test_dcgan_is_radfords():
    model = gan_networks.dcgan(28, 100, 64, rng=RNG(0))
    assert gan.sample(model, 3, rng=RNG(0)).shape == (3, 1, 28, 28)
    for network in (model.G, model.D):
        for name, p in network.named_parameters():
            if p.ndim > 1:
                error = 5 * 0.02 / math.sqrt(2 * p.size)
                assert abs(p.data.std() - 0.02) < error, name
    kinds = [type(m).__name__ for m in model.D]
    norms = [kind for kind in kinds if kind.startswith("BatchNorm")]
    assert norms == ["BatchNorm2d", "BatchNorm1d"] and kinds[1] == "LeakyReLU"
    assert type(model.G[-1]).__name__ == "Tanh"
    x = gan.sample(model, 50, rng=RNG(1)).data
    assert -1 <= x.min() and x.max() <= 1


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_dcgan_trains_with_each_norm(norm):
    model = gan_networks.dcgan(8, 5, 4, norm=norm, rng=RNG(0))
    batches = [pictures(6, s).astype(np.float32) for s in range(3)]
    steps = list(gan.train(model, batches, both(model), rng=RNG(0)))
    assert np.isfinite(steps).all()
    assert all(p.dtype == np.float32 for p in model.parameters())


def test_sampling_repeats_with_the_seed_and_leaves_running_means_alone():
    model = gan_networks.dcgan(8, 5, 4, rng=RNG(0))
    before = model.G[1].running_mean.copy()
    a, b = (gan.sample(model, 4, rng=RNG(1)).data for _ in range(2))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.G[1].running_mean, before)
    assert model.G.training


@pytest.mark.parametrize("how", [{"side": 10}, {"norm": "layer"}])
def test_wrong_networks_are_refused(how):
    with pytest.raises(ValueError, match="expected"):
        gan_networks.dcgan(**how)


def test_a_training_step_on_another_device_is_the_step_on_the_cpu(device):
    def steps(put):
        model = gan_networks.mlp(2, 3, (7,), classes=2, rng=RNG(0))
        for p in model.parameters():
            p.data = put(p.data)
        batches = [
            (put(points(4, s).astype(np.float32)), put(np.array([0, 1, 1, 0])))
            for s in range(4)
        ]
        how = dict(rng=RNG(1), r1=0.1)
        losses = list(gan.train(model, batches[:2], both(model), **how))
        losses += gan.train(model, batches[2:], both(model), "wgan_gp", 2, rng=RNG(2))
        samples = gan.sample(model, 3, rng=RNG(3))
        return losses, [p.data for p in model.parameters()], samples.data

    here, there = steps(np.asarray), steps(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-4)
    assert all(isinstance(p, device.array) for p in there[1])
    assert isinstance(there[2], device.array)
