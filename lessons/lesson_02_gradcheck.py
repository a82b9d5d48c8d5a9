"""
Gradient checking
=================

*Your loss goes down. Is your gradient right?*

A *rule* takes g, the slopes of the loss by what a step made, and returns the slopes by
what went in. You derive it on paper and type it in. Then you train, and the loss falls.

Here are two rules for the softmax: the library's, and one that forgets that every
output depends on every input of its row.
"""

# %%
import textwrap

import numpy as np

import scratchnn as snn
from scratchnn import GradcheckError, plot
from scratchnn.data import digits

# %%
# The digits are 8 x 8 pixels, the network is one matrix W, and p is its softmax.


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def own_slope_only(g, p):
    return g * p * (1 - p)  # (n, 10) * (n, 10) -> (n, 10)


right_rule = snn.TABLE["softmax"].rules[0]  # the library's

# %%
# x holds the images, a row each; t has a 1 at the digit of each row.

images, labels = digits("train")
x = images.reshape(-1, 64).astype(float)  # (1437, 64)
t = np.eye(10)[labels]  # (1437, 10)
print("x", x.shape, x[0, 2:5], " t", t.shape, t[0, :3])


def train(rule, steps=150, rate=2.0):
    W, losses = np.zeros((64, 10)), []
    for _ in range(steps):
        p = softmax(x @ W)  # (1437, 64) @ (64, 10) -> (1437, 10)
        losses.append(-np.log((p * t).sum(-1)).mean())
        dz = rule(-t / p / len(x), p)  # g is the slope of the loss by p
        W -= rate * (x.T @ dz)  # (64, 1437) @ (1437, 10) -> (64, 10)
    return W, np.array(losses)


# %%
# **Predict.** We train once with each rule. With the wrong one, does the loss (i) rise,
# (ii) stay where it is, or (iii) fall nearly as far?
#
# **Which curve belongs to the wrong rule?**

W_a, loss_a = train(lambda g, p: right_rule(g, p, p, axis=-1))
W_b, loss_b = train(own_slope_only)
print("losses", loss_a.shape, loss_a[[0, 1, -1]], loss_b[[0, 1, -1]])
plot.falling({"one rule": loss_a, "the other rule": loss_b}, chance=np.log(10))

# %%
# **Answer.** (iii). The upper curve belongs to the wrong rule. Its loss falls from 2.30
# to .19, the other to .13. On test digits it reaches 83.6 %, against 89.4 %. In the
# first step its gradient has a cosine of .40 with the right one: it points
# partly the right way, and that is enough to go down. Nothing in this picture says
# "mistake". So training can't tell, and we need a test that can.
#
# The humblest test
# -----------------
#
# Move the input to both sides and compare the slope of the line in between with yours:
#
# .. math:: f'(x) \approx \frac{f(x + h) - f(x - h)}{2h} \tag{1}


def slope(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)  # a number for a number


for h in (1.0, 0.1, 0.01):
    print("h", h, " slope of the cube at 2:", slope(lambda x: x * x * x, 2.0, h))
# sphinx_gallery_start_ignore
test_x, test_y = digits("test")
scores = [(test_x.reshape(-1, 64) @ W).argmax(1) == test_y for W in (W_a, W_b)]
assert np.allclose([100 * s.mean() for s in scores], [89.4, 83.6], atol=0.3)
assert [round(v, 2) for v in (loss_a[0], loss_a[-1], loss_b[-1])] == [2.3, 0.13, 0.19]
p = np.full(t.shape, 0.1)
da = x.T @ right_rule(-t / p, p, p, axis=-1)
db = x.T @ own_slope_only(-t / p, p)
assert round((da * db).sum() / np.sqrt((da**2).sum() * (db**2).sum()), 2) == 0.40
assert np.allclose([slope(lambda x: x**3, 2.0, h) for h in (1, 0.1)], [13, 12.01])
# sphinx_gallery_end_ignore

# %%
# Do it by hand: f is the cube, x = 2, h = 1. Then (3³ - 1³) / 2 = 13. The true slope is
# 12. With h = .1 it is 12.01. The error is h² here: ten times smaller steps, a hundred
# times smaller errors.
#
# ===========  ============  ========================================================
# symbol       in the code   meaning
# ===========  ============  ========================================================
# f, x, h      ``f, x, h``   the function, the place, the step
# ε            ``eps``       gap between 1 and the next number: 2e-16 in float64, 1e-7
#                            in float32
# f', f'''     ``f1, f3``    first and third derivative
# g            ``g``         the *cotangent*: one weight for each output of f
# φ            ``phi``       the outputs of f, weighted by g and summed: one number
# z, p         ``z, p``      what goes into a softmax, and what comes out
# ===========  ============  ========================================================
#
# Where it breaks: the step
# -------------------------
#
# So make h tiny? Two errors pull in two directions. The curve bends, which costs h².
# And f(x) is stored with a rounding error of about ε times its size; dividing by h
# blows it up:
#
# .. math::
#
#    \mathrm{error} \lesssim \frac{h^2}{6}\,|f'''| + \frac{\varepsilon\,|f|}{h} \tag{2}

x = np.linspace(0.2, 1.5, 50)  # (50,) places
h = 10.0 ** np.arange(0, -14.5, -0.5)  # (29,) steps
f, eps = np.tanh, np.finfo(float).eps  # f(x) is (50,)
f1 = 1 - f(x) ** 2  # (50,) the true slopes
f3 = f1 * (6 * f(x) ** 2 - 2)  # (50,)
error = h[:, None] ** 2 / 6 * abs(f3) + eps * abs(f(x)) / h[:, None]  # (29, 50)
expected = np.median(error / f1, axis=1)  # (29, 50) -> (29,)
print("x", x.shape, x[:3], " h", h.shape, h[:3], " expected", expected[:3])

# %%
# **Predict.** In float64, which step gives the best slope: (i) .01, (ii) 1e-5, (iii)
# 1e-8, (iv) 1e-12? And in float32, how many digits are right at h = 1e-6?
#
# **How wrong is a difference?** We take the median over 50 places of tanh.


def errors(difference, kind=float):
    at = x.astype(kind)  # (50,)
    found = [difference(at, kind(step)) for step in h]  # 29 arrays of (50,)
    return np.median(abs(np.array(found) - f1) / f1, axis=1)  # (29, 50) -> (29,)


found = {
    "one-sided, float64": errors(lambda x, h: (f(x + h) - f(x)) / h),
    "centred, float64": errors(lambda x, h: slope(f, x, h)),
    "centred, float32": errors(lambda x, h: slope(f, x, h), np.float32),
}
# sphinx_gallery_start_ignore
assert len(h) == 29 and found["centred, float64"].shape == (29,)
# sphinx_gallery_end_ignore
plot.step_sizes(h, found, model=expected)

# %%
# **Answer.** (ii): at 1e-5 the error is 2e-11. At .01 the bend costs 2e-5, at 1e-12 the
# rounding costs 4e-5; the whole line lies on or below the pale one, which is (2). The
# one-sided line never gets below 1e-9. In float32 the best that h can do is 6e-6, and
# at 1e-6 the error is about .016: not two digits are right. So: centred, in float64, h
# near 1e-5. Else the test itself is what fails.
#
# The second place where it breaks: a kink. At x = 0, relu has no slope.
#
# **What do differences see there?**


def relu(x):
    return np.maximum(x, 0)


print("slopes", *[slope(relu, 0.0, h) for h in (1.0, 1e-3, 1e-5)])
# sphinx_gallery_start_ignore
at = dict(zip(np.round(np.log10(h), 1).tolist(), zip(*found.values())))
assert np.isclose(at[-5][1], 2e-11, rtol=0.5) and np.isclose(at[-2][1], 2e-5, rtol=0.3)
assert np.isclose(at[-12][1], 4e-5, rtol=0.6)
assert (found["centred, float64"] < 1.05 * expected).all()
assert found["one-sided, float64"].min() > 1e-9
assert np.isclose(found["centred, float32"].min(), 6e-6, rtol=0.5)
assert np.isclose(at[-6][2], 0.016, rtol=0.5)
assert found["centred, float64"].argmin() in (10, 11, 12)
assert [slope(relu, 0.0, k) for k in (1.0, 1e-3, 1e-5)] == [0.5] * 3
# sphinx_gallery_end_ignore
plot.kink(relu, at=0.0, h=1.0)

# %%
# Exactly 1/2, at every step size: the mean of both sides. A rule that says 0 or 1 is
# called wrong and isn't. A good check notices the kink and tests beside it.
#
# From one number to arrays
# -------------------------
#
# An f with many outputs has too many slopes to compare. So we weight its outputs by a
# cotangent g, sum them, and check one number. A rule, given that g, must return the
# slopes of
#
# .. math:: \varphi(x) = \sum_i g_i\, f_i(x) \tag{3}
#
# In code, for any f:


def phi(f, x, g):
    return (g * f(x)).sum()  # (n, m) * (n, m) -> a number


# %%
# By hand: f(x) = (x₁x₂, x₁ + x₂) at x = (2, 3), with g = (5, 7).


def both(x):
    return np.array([x[0] * x[1], x[0] + x[1]])  # (2,) -> (2,)


def both_rule(g, x):
    return np.array([g[0] * x[1] + g[1], g[0] * x[0] + g[1]])  # (2,), (2,) -> (2,)


# %%
# We move the first entry of x, the second stays 3:

x, g = np.array([2.0, 3.0]), np.array([5.0, 7.0])  # (2,), (2,)
by_x1 = slope(lambda x1: phi(both, [x1, 3.0], g), 2.0, h=1.0)
print("x", x.shape, x, " g", g.shape, g, " phi", phi(both, x, g))
print("numeric, by x1:", by_x1, " rule:", both_rule(g, x))
# sphinx_gallery_start_ignore
assert phi(both, x, g) == 65 and by_x1 == 22 and both_rule(g, x).tolist() == [22, 17]
# sphinx_gallery_end_ignore

# %%
# φ is 5 · 6 + 7 · 5 = 65. Moving x₁ to 3 and to 1 gives 87 and 43, and (87 - 43) / 2 =
# 22: what the rule says. ``snn.gradcheck`` does this for each entry of each input, with
# a drawn g, in float64, at several steps, and estimates its own error as it goes.


def failure(f, rule, *inputs):
    """The error of a failed check; None if the check is green."""
    try:
        snn.gradcheck(f, *inputs, backward=rule)
    except GradcheckError as error:
        return error


print("both:", failure(both, both_rule, x))

# %%
# Green. Now the rule that trained so well. A check hands it z, so p is made anew. The
# sides of z are unequal and prime: with a square z, a wrong axis may go unseen.

rng = np.random.default_rng(0)
z = rng.normal(size=(7, 5))  # (7, 5)
print("z", z.shape, z[0, :3])


def softmax_by_own_slopes(g, z):
    return own_slope_only(g, softmax(z))


# %%
# **What does a check say that the loss did not?**

error = failure(softmax, softmax_by_own_slopes, z)
for line in str(error).splitlines():
    print(textwrap.fill(line, 80))
# sphinx_gallery_start_ignore
assert failure(both, both_rule, x) is None and error.report.letter == "I"
assert phi(both, [3, 3], g) == 87 and phi(both, [1, 3], g) == 43
assert error.report.wrong[0].all()
# sphinx_gallery_end_ignore
plot.gradcheck(error)

# %%
# All 35 entries are wrong, and the message says more than that. Add a number to a row
# of z, and the softmax stays as it is. So each row of the right gradient sums to 0, and
# ours don't. A letter names the kind of mistake: I, a broken sum rule.
#
# Where it breaks: a cotangent of ones
# ------------------------------------
#
# Many checks take φ = f(x).sum(), which is g = (1, 1, ...). It looks harmless. Here are
# four wrong rules, each with its right one from the library.


def centred(g):
    return g - g.mean(-1, keepdims=True)  # (7, 5) - (7, 1) -> (7, 5)


def layer_norm(x):
    return centred(x) / (centred(x) ** 2).mean(-1, keepdims=True) ** 0.5


# %%
# The first of each pair is f, in ops of the library; the second is a wrong rule.

WRONG = {
    "forgets g\n(sine)": (snn.sin, lambda g, x: np.cos(x)),
    "reshapes\n(transpose)": (snn.transpose, lambda g, x: g.reshape(x.shape)),
    "equal shares\n(softmax)": (snn.softmax, lambda g, x: softmax(x) * centred(g)),
    "constant scale\n(layer norm)": (
        layer_norm,
        lambda g, x: centred(g) / x.std(-1, keepdims=True),
    ),
}

# %%
# **Predict.** How many of the four does a check with g of ones let pass: (i) none, (ii)
# one, the one that forgets g, or (iii) all?


def largest_error(f, wrong, g):
    leaf = snn.Tensor(z, requires_grad=True)  # (7, 5)
    y = f(leaf)
    g = g.reshape(y.shape)
    return abs(wrong(g, z) - snn.grad(y, leaf, g=g).data).max()


# %%
# **Who is seen by which cotangent?**

ones, drawn = np.ones((7, 5)), rng.normal(size=(7, 5))
print("g drawn", drawn.shape, drawn[0, :3])
seen = {k: [largest_error(*v, g) for g in (ones, drawn)] for k, v in WRONG.items()}
# sphinx_gallery_start_ignore
# sphinx_gallery_end_ignore
plot.cotangents(seen)

# %%
# **Answer.** (iii): all four pass, with errors below 1e-15. Drawn weights see all of
# them, with errors from .16 to 3.2. Ones hide whatever treats all outputs alike. And
# softmax and layer norm have rows with a fixed sum, so with ones φ is a constant: right
# slopes are 0, and so are many wrong ones. A test of nothing should not turn green;
# ``snn.gradcheck`` refuses it.

try:
    snn.gradcheck(snn.softmax, z, g=np.ones((7, 5)))
except snn.VacuousCheck as refusal:
    message = str(refusal)
print(textwrap.fill(message, 80))
# sphinx_gallery_start_ignore
assert max(low for low, _ in seen.values()) < 1e-15
high = [high for _, high in seen.values()]
assert round(min(high), 2) == 0.16 and round(max(high), 1) == 3.2
assert "every slope is 0" in message
# sphinx_gallery_end_ignore

# %%
# Reading a failure
# -----------------
#
# A wrong gradient is not noise. It has a pattern, and the pattern names the mistake.
#
# **Predict.** Somebody writes the slope of relu as min(1, relu(x)). Which entries will
# be wrong: (i) all of them, (ii) x < 0, or (iii) 0 < x < 1?
#
# **Where is this rule wrong?** Frames mark wrong entries.

error = failure(relu, lambda g, x: g * np.minimum(1, relu(x)), z)
# sphinx_gallery_start_ignore
wrong = error.report.wrong[0]
assert (wrong == ((0 < z) & (z < 1))).all() and error.report.letter == "G"
assert wrong.sum() == 13
# sphinx_gallery_end_ignore
plot.gradcheck(error)

# %%
# **Answer.** (iii): 13 of 35 entries, those between 0 and 1, where min gives x and not
# 1. Below 0 both are 0; above 1 both are 1. With inputs of size 10 this rule would look
# right nearly everywhere: small and large inputs belong into a test.
#
# Six mistakes, six patterns. Cover the letters on the right and try to read the maps.
#
# **What does each mistake look like?**

PLANTED = {
    "R": ("x * x", lambda x: x * x, lambda g, x: g * x),
    "S": ("cos", np.cos, lambda g, x: g * np.sin(x)),
    "T": ("transpose", np.transpose, lambda g, x: g.reshape(x.shape)),
    "I": ("softmax", softmax, softmax_by_own_slopes),
    "Z": ("exp", np.exp, lambda g, x: 0 * x),
    "X": ("tanh", np.tanh, lambda g, x: g * (1 - np.tanh(np.tanh(x)) ** 2)),
}
failures = {name: failure(f, rule, z) for name, f, rule in PLANTED.values()}
# sphinx_gallery_start_ignore
assert [e.report.letter for e in failures.values()] == list(PLANTED)
# sphinx_gallery_end_ignore
plot.signatures(failures)

# %%
# R: the same picture, paler: half of it. S: the negative. T: the right numbers in other
# places. I: every row has a rest. Z: nothing arrives. X: a factor of its own for each
# entry. Four more letters need no map, since the check finds them before it compares.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_exponentials(g, x):
    return g * np.exp(-x) / (1 + np.exp(-x)) ** 2  # inf / inf for x = -800


# %%
# Each of these four has its own way to be wrong at once.

far = np.where(z < -1, -800.0, z)  # (7, 5)
print("far", far.shape, far.min(), far[0, :2])
EARLY = {
    "H": (lambda x: x.sum(1), lambda g, x: g * np.ones_like(x), z),
    "N": (sigmoid, by_exponentials, far),
    "W": (lambda x: x.astype(np.float32) ** 2, lambda g, x: 2 * g * x, z),
    "B": (np.exp, lambda g, x: np.multiply(g, np.exp(x), out=g), z),
}

# %%
# What does the check say?

for letter, case in EARLY.items():
    report = failure(*case).report
    print(report.letter, "|", textwrap.shorten(report.diagnosis, 72))
# sphinx_gallery_start_ignore
assert all(failure(*case).report.letter == k for k, case in EARLY.items())
from scratchnn.gradcheck.report import LETTERS  # noqa: E402

assert {*PLANTED, *EARLY, "G"} == set(LETTERS)
# sphinx_gallery_end_ignore

# %%
# All eleven letters, and where to look first:
#
# ======  ==========================  ==================================================
# letter  the check sees              look for
# ======  ==========================  ==================================================
# R       one factor everywhere       a mean for a sum, a lost 2, one of two uses
# S       the wrong sign              a minus
# T       right values, other places  a reshape for a transpose, swapped factors
# H       the wrong shape             an axis not summed, or summed and not put back
# Z       zeros                       a detached input, an array of integers
# N       nan or inf                  0/0, inf/inf, log 0: an empty row, a large input
# G       wrong in a region           ties, repeated indices, dropped or clipped entries
# I       a sum that should be 0      a mean, a variance or a softmax taken as constant
# X       no simple pattern           a chain rule step too many, g forgotten
# W       differences that move       float32 inside f, random numbers, rounding
# B       a second call differs       g or an input changed in place, an old cache
# ======  ==========================  ==================================================
#
# What broke it: green and wrong
# ------------------------------
#
# A gradient check compares your rule with *your* f. Here f itself is wrong: it takes
# the softmax over the wrong axis. The rule fits it.


def wrong_axis(x):
    return softmax(x.T).T  # (7, 5) -> (7, 5)


def wrong_axis_rule(g, x):
    p = softmax(x.T)  # (5, 7)
    return right_rule(g.T, p, p, axis=-1).T  # (5, 7) -> (7, 5)


# %%
# The check is green. **Do the weights of each row sum to 1?**

print("check:", failure(wrong_axis, wrong_axis_rule, z))
row_sums = {"over classes": softmax(z).sum(1), "over the batch": wrong_axis(z).sum(1)}
# sphinx_gallery_start_ignore
assert failure(wrong_axis, wrong_axis_rule, z) is None
assert np.allclose(row_sums["over classes"], 1)
over = row_sums["over the batch"]
assert (round(over.min(), 2), round(over.max(), 2)) == (0.33, 1.03)
# sphinx_gallery_end_ignore
plot.row_sums(row_sums, line=1)

# %%
# They should, and they sum to .33 up to 1.03. So a rule needs three tests: the gradient
# check; a *value test*, against a slow loop or a known result; and an *invariant*, such
# as a sum that must be 1. The tasks of this course are checked by all three.
#
# Exercises
# ---------
#
# ``scratchnn release gradcheck OUT/`` makes a folder with the tasks. Write your code
# where it says so, and type ``scratchnn check 2.1`` there to have task 2.1 checked.
#
# 2.1 **Differences for arrays** (6 lines). ``numeric_gradient(f, x, g, h)``: f takes x
# of any shape and returns an array of the shape of g; return the slopes of φ by x, of
# the shape of x. *Hint: np.ndindex(x.shape) visits every place.*
#
# 2.2 **How far apart?** (3 lines). ``relative_error(analytic, numeric)`` for arrays of
# one shape: the largest of \|a - n\| / max(\|a\|, \|n\|) over all entries a of the one
# and n of the other; 0 where both are 0. *Hint: np.where keeps a division by 0 away.*
#
# 2.3 **Your own gradient check** (4 lines). ``check(f, rule, x, g)`` returns True or
# False, for x of any shape and g of the shape of f(x). It refuses wrong rules, wrong
# shapes too, and accepts right ones, be their slopes 1e-6 or 1e6. *Hint: one call of
# the rule, one of 2.1, one of 2.2.*
#
# 2.4 **The rule of the softmax, by gradient check** (2 lines). ``softmax_rule(g, y)``
# for y = softmax(x), all (n, m): the slopes by x. *Hint: the sum over a row must be 0;
# what must be taken off g, and with which weights?*
#
# 2.5 **Find the bug** (1 line). ``trust(f, rule, x)`` draws a g and calls your check.
# It accepts every right rule, and some wrong ones. *Hint: which of the places where a
# check breaks is this: the step, the kink, or the cotangent?*
#
# What you now know
# -----------------
#
# - A falling loss proves little. Centred differences in float64 with a drawn cotangent
#   find a wrong rule, and the pattern of the error says which mistake it is; a value
#   test and an invariant find what a gradient check can't.
# - The literature does more: complex steps without rounding (Squire and Trapp, 1998),
#   and one drawn direction for any number of entries, ``mode="directional"`` here.
# - The library's own files are ``scratchnn/gradcheck/slopes.py`` for the differences
#   and ``scratchnn/gradcheck/patterns.py`` for the letters.
