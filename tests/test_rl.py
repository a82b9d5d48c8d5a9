"""RL on top: policies so small that all answers can be counted; the closed form."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import Tensor, grad, nn, no_grad, ops, optim
from scratchnn.device import beside
from scratchnn.models import rl

RNG = np.random.default_rng
V, BEGIN = 3, 3  # three tokens to answer with, and one to prompt with


class Table(nn.Module):
    """A policy that looks at the last token only: row k holds the logits behind k."""

    l_max = 99

    def __init__(self, logits):
        self.logits = Tensor(np.array(logits, np.float64), requires_grad=True)

    def forward(self, x, cache=None):
        return self.logits[beside(x, self.logits)]


def table(seed=0, rows=V + 1, columns=V):
    return Table(RNG(seed).normal(size=(rows, columns)))


def begin(B):
    return np.full((B, 1), BEGIN)


def everything(l_gen):
    """All answers of l_gen tokens with the prompt before them: (V^l, 1 + l)."""
    answers = np.array(list(itertools.product(range(V), repeat=l_gen)))
    return np.concatenate([begin(len(answers)), answers], axis=1)


MARKS = RNG(9).normal(size=(V, V))  # of answers of two tokens


def by_mark(tokens, seen):
    return MARKS[tokens[:, 1], tokens[:, 2]]


def episodes_of(model, rho, tokens, marks, said=None):
    """Episodes of given answers, as if they had been drawn."""
    l_gen = tokens.shape[1] - 1
    with no_grad():
        log_pi, log_rho = (rl.log_probs(m, tokens, l_gen).data for m in (model, rho))
    said = np.ones_like(log_pi, bool) if said is None else said
    seen = np.concatenate([np.ones_like(said[:, :1]), said], axis=1)
    log_pi, log_rho = log_pi * said, log_rho * said
    return rl.Episodes(tokens, seen, log_pi, log_rho, np.zeros(len(tokens)), marks)


# ---- closed forms -------------------------------------------------------------------
def test_the_bandit_gradient_is_the_derivative_of_the_expected_mark():
    z, r = RNG(0).normal(size=(2, 7))
    leaf = Tensor(z, requires_grad=True)
    (expected,) = grad((ops.softmax(leaf, -1) * r).sum(), [leaf])
    found = rl.bandit_gradient(z, r)
    np.testing.assert_allclose(found, expected.data, atol=1e-15)
    assert abs(found.sum()) < 1e-15  # a shift of all logits changes nothing
    np.testing.assert_allclose(rl.bandit_gradient(z, r + 5), found, atol=1e-14)


def objective(pi, rho, r, beta):
    return (pi * r).sum() - beta * (pi * np.log(pi / rho)).sum()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 20), st.integers(2, 9))
def test_no_policy_is_better_than_the_closed_form(seed, beta, n):
    rng = RNG(seed)
    rho, other = rng.dirichlet(np.ones(n), size=2) + 1e-9
    r = rng.normal(size=n)
    rho /= rho.sum()
    best = rl.closed_form(rho, r, beta)
    assert best.pi.sum() == pytest.approx(1)
    near = best.pi * np.exp(0.01 * rng.normal(size=n))
    for pi in (other / other.sum(), near / near.sum(), rho):
        assert objective(pi, rho, r, beta) <= best.value + 1e-9
    kept = best.pi > 1e-300
    reached = objective(best.pi[kept], rho[kept], r[kept], beta)
    assert reached == pytest.approx(best.value, abs=1e-9)


def test_the_closed_form_goes_from_rho_to_the_best_mark_alone():
    rho, r = np.array([0.2, 0.5, 0.3]), np.array([1.0, 0.0, 2.0])
    np.testing.assert_allclose(rl.closed_form(rho, r, 1e9).pi, rho, atol=1e-8)
    np.testing.assert_allclose(rl.closed_form(rho, r, 1e-3).pi, [0, 0, 1], atol=1e-12)
    never = rl.closed_form(np.array([0.0, 1.0]), r[:2], 0.5)
    assert never.pi.tolist() == [0, 1]  # what rho never says stays unsaid
    with pytest.raises(ValueError, match="beta is 0, expected a number above 0"):
        rl.closed_form(rho, r, 0)


# ---- answers ------------------------------------------------------------------------
def test_log_probs_are_those_of_a_loop_over_the_tokens():
    model, tokens = table(rows=5, columns=5), RNG(1).integers(0, 5, (4, 6))
    found = rl.log_probs(model, tokens, 3).data
    for i, t in itertools.product(range(4), range(3)):
        p = np.exp(model.logits.data[tokens[i, t + 2]])
        expected = np.log(p[tokens[i, t + 3]] / p.sum())
        assert found[i, t] == pytest.approx(expected, abs=1e-13)


def test_answers_are_drawn_as_often_as_the_policy_says():
    model, B = table(), 20_000
    played = rl.play(model, table(1), begin(B), 2, by_mark, rng=RNG(2))
    whole = everything(2)
    p = np.exp(rl.log_probs(model, whole, 2).data.sum(axis=1))
    assert p.sum() == pytest.approx(1)
    for answer, probability in zip(whole, p):
        share = (played.tokens == answer).all(axis=1).mean()
        assert abs(share - probability) < 5 * np.sqrt(probability / B)
    assert np.array_equal(played.reward, by_mark(played.tokens, None))


def test_both_estimates_of_the_kl_have_the_exact_mean():
    model, rho, B = table(), table(1), 20_000
    played = rl.play(model, rho, begin(B), 2, by_mark, rng=RNG(0))
    log_p, log_q = (rl.log_probs(m, everything(2), 2).data.sum(1) for m in (model, rho))
    exact = (np.exp(log_p) * (log_p - log_q)).sum()
    for each in (played.kl, (played.log_pi - played.log_rho).sum(axis=1)):
        assert abs(each.mean() - exact) < 5 * each.std() / np.sqrt(B)
    assert played.kl.min() >= 0 and played.kl.std() < 0.5 * each.std()
    alone = rl.play(model, rl.frozen(model), begin(9), 2, by_mark, rng=RNG(0))
    assert alone.kl.tolist() == [0] * 9


def test_an_answer_ends_behind_its_first_eos_token():
    model = table()
    played = rl.play(model, table(1), begin(500), 4, len_said, 2, RNG(0))
    for tokens, said, log_pi in zip(played.tokens, played.said, played.log_pi):
        answer = tokens[1:].tolist()
        n = answer.index(2) + 1 if 2 in answer else 4
        assert said.tolist() == [t < n for t in range(4)]
        assert (log_pi[n:] == 0).all() and (log_pi[:n] < 0).all()
    assert np.array_equal(played.reward, played.said.sum(axis=1))
    assert len(set(played.reward)) == 4


def len_said(tokens, seen):
    return seen.sum(axis=1) - 1.0


def test_the_frozen_model_is_not_trained_with_its_copy():
    model = table()
    rho = rl.frozen(model)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    list(rl.reinforce(model, rho, [begin(8)] * 2, optimizer, by_mark, 2, rng=RNG(0)))
    assert not rho.parameters() and not np.array_equal(
        rho.logits.data, model.logits.data
    )


# ---- REINFORCE ----------------------------------------------------------------------
def exact_gradient(model, rho, beta):
    """d/dtheta (E[r] - beta KL(pi || rho)) with all answers counted."""
    tokens = everything(2)
    log_pi = rl.log_probs(model, tokens, 2).sum(axis=1)
    with no_grad():
        log_rho = rl.log_probs(rho, tokens, 2).data.sum(axis=1)
    J = (ops.exp(log_pi) * (by_mark(tokens, None) - beta * (log_pi - log_rho))).sum()
    return grad(J, [model.logits])[0].data


@pytest.mark.parametrize("b", [0.0, 3.0])
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_reinforce_in_the_mean_over_all_answers_is_the_exact_gradient(beta, b):
    model, rho, tokens = table(), table(1), everything(2)
    played = episodes_of(model, rho, tokens, by_mark(tokens, None))
    R = rl.returns(played, beta)
    assert R[0] == pytest.approx(
        played.reward[0] - beta * (played.log_pi - played.log_rho)[0].sum()
    )
    found = 0
    for i, p in enumerate(np.exp(played.log_pi.sum(axis=1))):
        log_pi = rl.log_probs(model, tokens[i : i + 1], 2)
        loss = rl.reinforce_loss(log_pi, R[i : i + 1] - b, played.said[i : i + 1])
        found = found - p * grad(loss, [model.logits])[0].data
    np.testing.assert_allclose(found, exact_gradient(model, rho, beta), atol=1e-12)


def test_on_a_bandit_the_mean_is_exact_and_a_baseline_takes_noise_away():
    z, r, B, n = RNG(3).normal(size=V), np.array([4.0, 5.0, 6.5]), 10, 700
    exact, rng = rl.bandit_gradient(z, r), RNG(0)
    model = Table(np.tile(z, (V + 1, 1)))

    def marked(tokens, seen):
        return r[tokens[:, 1]]

    spread = {}
    for baseline in rl.BASELINES:
        found = []
        for _ in range(n):
            played = rl.play(model, model, begin(B), 1, marked, rng=rng)
            A = rl.advantages(played.reward, baseline)
            log_pi = rl.log_probs(model, played.tokens, 1)
            loss = rl.reinforce_loss(log_pi, A, played.said)
            found.append(-grad(loss, [model.logits])[0].data[BEGIN])
        error = np.std(found, axis=0) / np.sqrt(n)
        assert np.all(abs(np.mean(found, axis=0) - exact) < 5 * error)
        spread[baseline] = np.var(found, axis=0).sum()
    assert spread["others"] < spread["none"] / 5


def test_the_baseline_is_the_mean_of_the_others():
    R = RNG(0).normal(size=5)
    slow = [R[i] - np.delete(R, i).mean() for i in range(5)]
    np.testing.assert_allclose(rl.advantages(R), slow, rtol=1e-12)
    assert rl.advantages(R, "none") is R
    with pytest.raises(ValueError, match="at least 2 prompts"):
        rl.advantages(R[:1])
    with pytest.raises(ValueError, match="baseline is 'mean', expected 'others'"):
        rl.advantages(R, "mean")


def test_each_answer_meets_its_own_mark():
    """mean(log pi) times the sum of all returns would not notice a permutation."""
    model, tokens = table(), everything(2)
    A = rl.advantages(by_mark(tokens, None))
    said = np.ones((9, 2), bool)
    right, permuted = (
        grad(rl.reinforce_loss(rl.log_probs(model, tokens, 2), a, said), [model.logits])
        for a in (A, A[::-1])
    )
    assert abs(right[0].data - permuted[0].data).max() > 0.05
    half = said.copy()
    half[:, 1] = False  # an answer's unseen tokens get no gradient
    loss = rl.reinforce_loss(rl.log_probs(model, tokens, 2), A, half)
    assert not grad(loss, [model.logits])[0].data[:BEGIN].any()


def learnt(model, l_gen=2):
    return np.exp(rl.log_probs(model, everything(l_gen), l_gen).data.sum(axis=1))


def best(rho, beta):
    return rl.closed_form(learnt(rho), MARKS.ravel(), beta)


def trained(how, steps, lr, beta=0.5, B=200, **options):
    rho = table(1)
    model = Table(rho.logits.data)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    decay = optim.LambdaLR(optimizer, lambda t: max(1 - t / steps, 0))
    walk = how(
        model, rl.frozen(rho), [begin(B)] * steps, optimizer, by_mark, 2, beta,
        rng=RNG(0), **options,
    )  # fmt: skip
    marks = []
    for m in walk:
        decay.step()
        marks.append(m)
    return model, rho, marks


@pytest.mark.parametrize("how", [rl.reinforce, rl.ppo])
def test_the_learnt_policy_is_the_closed_form(how):
    model, rho, marks = trained(how, 200, 0.1)
    goal = best(rho, 0.5)
    assert abs(goal.pi - learnt(rho)).max() > 0.2  # there was something to learn
    assert abs(learnt(model) - goal.pi).max() < 0.02
    assert -marks[-1].loss == pytest.approx(goal.value, abs=0.15)  # one batch of 200
    for m in marks:
        assert m.loss == pytest.approx(0.5 * m.kl - m.reward)


# ---- PPO ----------------------------------------------------------------------------
def test_the_clipped_loss_is_equation_7_in_a_slow_loop():
    rng, epsilon = RNG(0), 0.2
    log_pi, log_old, A = rng.normal(size=(3, 6, 4)) * 0.4
    said = np.tri(6, 4, dtype=bool)
    slow = 0.0
    for i, t in zip(*np.nonzero(said)):
        ratio = np.exp(log_pi[i, t] - log_old[i, t])
        kept = min(max(ratio, 1 - epsilon), 1 + epsilon)
        slow -= min(ratio * A[i, t], kept * A[i, t]) / 6
    leaf = Tensor(log_pi, requires_grad=True)
    loss = rl.ppo_loss(leaf, log_old, A, said, epsilon)
    assert float(loss) == pytest.approx(slow, rel=1e-12)
    ratio = np.exp(log_pi - log_old)
    stopped = np.where(A > 0, ratio > 1 + epsilon, ratio < 1 - epsilon) | ~said
    g = grad(loss, [leaf])[0].data
    np.testing.assert_allclose(g, -np.where(stopped, 0, ratio * A) / 6, atol=1e-15)
    assert 0 < stopped[said].sum() < said.sum()


def test_the_first_step_of_ppo_has_the_gradient_of_reinforce():
    model, tokens = table(), everything(2)
    A, said = rl.advantages(by_mark(tokens, None)), np.ones((9, 2), bool)
    with no_grad():
        old = rl.log_probs(model, tokens, 2).data
    log_pi = rl.log_probs(model, tokens, 2)
    (first,) = grad(rl.ppo_loss(log_pi, old, A[:, None], said), [model.logits])
    log_pi = rl.log_probs(model, tokens, 2)
    (second,) = grad(rl.reinforce_loss(log_pi, A, said), [model.logits])
    np.testing.assert_allclose(first.data, second.data, atol=1e-14)


def test_what_tokens_earn_adds_up_to_the_return_of_their_answer():
    model, rho = table(), table(1)
    played = rl.play(model, rho, begin(50), 4, len_said, 2, RNG(0))
    r = rl.token_rewards(played, 0.3)
    np.testing.assert_allclose(r.sum(axis=1), rl.returns(played, 0.3), atol=1e-12)
    assert not r[~played.said].any()
    i = int(np.argmin(played.said.sum(axis=1)))
    n = played.said[i].sum()
    penalty = -0.3 * (played.log_pi - played.log_rho)[i]
    np.testing.assert_allclose(r[i, : n - 1], penalty[: n - 1])
    assert r[i, n - 1] == pytest.approx(penalty[n - 1] + played.reward[i])


@pytest.mark.parametrize("gamma, lam", [(1.0, 0.95), (0.9, 0.5), (1.0, 0.0)])
def test_gae_is_equation_11_in_a_slow_loop(gamma, lam):
    rng, said = RNG(0), np.arange(5) < np.array([[5], [2], [1]])
    r, values = rng.normal(size=(2, 3, 5))
    r = r * said
    found = rl.gae(r, values, said, gamma, lam)
    for i, n in enumerate(said.sum(axis=1)):
        after = [*values[i, 1:n], 0.0]  # the answer ends: nothing to expect
        delta = r[i, :n] + gamma * np.array(after) - values[i, :n]
        for t in range(5):
            slow = sum((gamma * lam) ** k * d for k, d in enumerate(delta[t:n]))
            assert found[i, t] == pytest.approx(slow, abs=1e-12)


def test_gae_with_lambda_1_is_the_return_to_come_minus_what_was_expected():
    r, values = RNG(0).normal(size=(2, 3, 5))
    to_come = r[:, ::-1].cumsum(axis=1)[:, ::-1]
    found = rl.gae(r, values, np.ones_like(r, bool), 1.0, 1.0)
    np.testing.assert_allclose(found, to_come - values, atol=1e-12)


def test_a_critic_learns_the_return_to_expect():
    rho = table(1)
    model, critic = Table(rho.logits.data), rl.Scores(table(5, V + 1, V + 1), V + 1)
    for p in critic.parameters():
        p.data = p.data.astype(np.float64)
    only = optim.Adam(critic.parameters(), lr=0.1)  # the policy stays as it is
    decay = optim.LambdaLR(only, lambda t: max(1 - t / 120, 0))
    walk = rl.ppo(
        model, rl.frozen(rho), [begin(200)] * 120, only, by_mark, 2, critic=critic,
        rng=RNG(0),
    )  # fmt: skip
    for _ in walk:
        decay.step()
    p = learnt(rho)
    expected = (p * MARKS.ravel()).sum()
    rows = p.reshape(V, V) / p.reshape(V, V).sum(axis=1, keepdims=True)
    found = critic(np.array([[BEGIN, k] for k in range(V)])).data
    np.testing.assert_allclose(found[:, 0], expected, atol=0.1)
    np.testing.assert_allclose(found[:, 1], (rows * MARKS).sum(axis=1), atol=0.1)


def test_ppo_with_a_critic_learns_the_closed_form_too():
    rho = table(1)
    model, critic = Table(rho.logits.data), rl.Scores(table(5, V + 1, V + 1), V + 1)
    optimizer = optim.Adam([*model.parameters(), *critic.parameters()], lr=0.08)
    decay = optim.LambdaLR(optimizer, lambda t: max(1 - t / 150, 0))
    walk = rl.ppo(
        model, rl.frozen(rho), [begin(200)] * 150, optimizer, by_mark, 2, 0.5,
        critic=critic, rng=RNG(0),
    )  # fmt: skip
    for _ in walk:
        decay.step()
    assert abs(learnt(model) - best(rho, 0.5).pi).max() < 0.02


def test_beta_is_adapted_towards_a_target_kl():
    assert rl.adapted(0.5, 2.0, 2.0) == 0.5
    assert rl.adapted(0.5, 9.0, 2.0) == pytest.approx(0.5 * 1.02)  # e stops at 0.2
    assert rl.adapted(0.5, 0.0, 2.0) == pytest.approx(0.5 * 0.98)
    assert rl.adapted(0.5, 2.2, 2.0) == pytest.approx(0.5 * 1.01)
    _, _, marks = trained(rl.ppo, 150, 0.05, beta=2.0, target_kl=0.15)
    assert np.mean([m.kl for m in marks[-30:]]) == pytest.approx(0.15, abs=0.03)


# ---- preferences --------------------------------------------------------------------
def test_the_preference_loss_is_equation_1_in_a_slow_loop():
    r = RNG(0).normal(size=(5, 4))
    slow = 0.0
    for row in r:
        pairs = list(itertools.combinations(row, 2))
        slow -= sum(np.log(1 / (1 + np.exp(b - a))) for a, b in pairs) / len(pairs) / 5
    assert float(rl.preference_loss(r)) == pytest.approx(slow, rel=1e-12)
    assert float(rl.preference_loss(r + 7)) == pytest.approx(slow, rel=1e-12)
    assert float(rl.preference_loss(np.zeros((2, 3)))) == pytest.approx(np.log(2))


def test_two_answers_are_ranked_as_bradley_and_terry_say():
    n, a, b = 20_000, 0.3, -0.5
    places = rl.ranked(np.tile([a, b], (n, 1)), RNG(0))
    p = 1 / (1 + np.exp(b - a))
    assert abs((places[:, 0] == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / n)


def test_a_reward_model_finds_the_marks_behind_the_preferences():
    rho = table(1)
    body = nn.Embedding((V + 1) ** 2, 9, rng=RNG(0))

    class Pairs(nn.Module):  # sees the last two tokens, as a table of all pairs
        def forward(self, x):
            before = np.concatenate([begin(len(x)), x[:, :-1]], axis=1)
            return body(before * (V + 1) + x)

    seeing = Pairs()
    seeing.body = body
    model = rl.Scores(seeing, 9)
    optimizer, rng = optim.Adam(model.parameters(), lr=0.05), RNG(2)
    batches = (rl.compare(rho, begin(300), 2, by_mark, 3, rng=rng) for _ in range(150))
    steps = list(rl.reward_training(model, batches, optimizer))
    assert steps[0].loss == pytest.approx(np.log(2)) and steps[0].right == 0
    whole = everything(2)
    with no_grad():
        found = model.reward(whole, np.ones_like(whole, bool)).data
    apart = found - MARKS.ravel()
    heavy = learnt(rho) > 0.03  # what is hardly ever said is hardly ever compared
    assert np.ptp(apart[heavy]) < 0.35 < 1 < np.ptp(MARKS)
    assert steps[-1].right > 0.6


def test_a_score_is_taken_behind_the_last_token_that_is_seen():
    model = rl.Scores(table(0, 5, 5), 5)
    model.head.weight.data[:] = RNG(1).normal(size=(1, 5))
    tokens = RNG(2).integers(0, 5, (3, 4))
    seen = np.arange(4) < np.array([[4], [2], [1]])
    each = model(tokens).data
    expected = [each[0, 3], each[1, 1], each[2, 0]]
    np.testing.assert_allclose(model.reward(tokens, seen).data, expected)


# ---- elsewhere ----------------------------------------------------------------------
def test_steps_on_another_device_are_the_steps_on_the_cpu(device):
    def steps(put):
        model = table()
        rho = rl.frozen(model)
        critic = rl.Scores(table(5, V + 1, V + 1), V + 1)
        for m in (model, rho, critic):
            for p in vars(m).values():
                if isinstance(p, Tensor):
                    p.data = put(p.data)
        for p in critic.parameters():
            p.data = put(p.data.astype(np.float64))
        marks = put(MARKS)

        def reward(tokens, seen):
            return marks[tokens[:, 1], tokens[:, 2]]

        both = [*model.parameters(), *critic.parameters()]
        optimizer = optim.Adam(both, lr=0.05)
        prompts = [put(begin(6))] * 2
        rest = (model, rho, prompts, optimizer, reward, 2, 0.3)
        found = list(rl.reinforce(*rest, rng=RNG(0)))
        found += rl.ppo(*rest, critic=critic, rng=RNG(1))
        pairs = rl.compare(model, prompts[0], 2, reward, rng=RNG(2))
        found += rl.reward_training(critic, [pairs] * 2, optimizer)
        return found, model.logits.data

    here, there = steps(np.asarray), steps(device.put)
    for a, b in zip(here[0], there[0]):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert isinstance(there[1], device.array)
