"""
The derivative engine
=====================

*Ten million inputs, one output: how can all slopes cost about one more run?*

A network is a function: millions of weights go in, one loss comes out. To train it we
ask of each weight how the loss would change if this weight grew a little. That number
is its *slope*; the slopes of all weights together are the *gradient*.

The plain way to find a slope is to move the weight and to run the function again.
The picture shows what that costs, and what the method of this lesson costs. Both axes
count in powers of ten. At ten million inputs the upper line needs ten million runs,
and the lower one three. In the next half hour you build the lower line, in about 40
lines of Python.
"""

# %%
import itertools
import textwrap
import time

import numpy as np

import scratchnn as snn
from scratchnn import plot

# %%
# **What do all the slopes of a function cost?**

n = 10 ** np.arange(1, 8)  # (7,) numbers of inputs
run = 2 * n - 2  # (7,) operations of one run: a sum of n - 1 products, then tanh
print("n", n.shape, n[:3], " run", run.shape, run[:3])
both = {"moving each input": (n, (n + 1) * run), "this lesson": (n, 3 * run)}
# sphinx_gallery_start_ignore
assert n[-1] == 10_000_000 and (both["moving each input"][1] / run)[-1] > 10_000_000
# sphinx_gallery_end_ignore
plot.cost_of_slopes(both, one_run=(n, run))

# %%
# The humblest method
# -------------------
#
# Move one input by a small step h, see how far the output moves, and divide. With
# :math:`e_k` for the vector that is 1 at place k and 0 elsewhere:
#
# .. math::
#
#    \frac{\partial f}{\partial x_k} \approx \frac{f(x + h\,e_k) - f(x)}{h} \tag{1}


def differences(f, x, h=1e-6):
    """The slopes of f by all entries of x (n,): n + 1 runs of f."""
    f_x, slopes = f(x), np.zeros(len(x))
    for k, e_k in enumerate(np.eye(len(x))):
        slopes[k] = (f(x + h * e_k) - f_x) / h  # a number: one slope of n
    return slopes


# %%
# Here is a function that we can also do by hand. It makes a sum s and a product p,
# and uses both of them twice: y = s + r with r = q + p and q = sp. We take a = 2
# and b = 3.


def toy(x):
    a, b = x
    s, p = a + b, a * b
    q = s * p
    return s + (q + p)


# %%
# By hand: s = 5, p = 6, q = 30, r = 36, y = 41. And its slopes?

x = np.array([2.0, 3.0])
slopes = differences(toy, x)
print("x", x.shape, x, " toy(x)", toy(x), " slopes", slopes.shape, slopes)
# sphinx_gallery_start_ignore
assert toy(x) == 41 and np.allclose(slopes, [25, 19], atol=1e-4)
assert np.abs(slopes - [25, 19]).max() > 1e-7
# sphinx_gallery_end_ignore

# %%
# The slopes are 25 by a and 19 by b, with an error in a late digit. So the method
# works, and it breaks in two places. What h may be is the small one, and the subject of
# the next lesson. The large one is the price: n inputs ask for n + 1 runs.
#
# The idea: ask backwards
# -----------------------
#
# A run of f is a chain of small steps: a sum, a product, a tanh. Each step has one or
# two inputs, and its own slopes by them are known from school. The slope of ab by a is
# b; the slope of a + b by a is 1. So while f runs, we write a *tape*. Each number
# remembers its parents (the numbers it was made of) and its slope by each parent.
#
# Then we start at the end. The result has slope 1 by itself. A node (a number on the
# tape) that knows its slope hands a share to each of its parents: its slope times the
# slope written on the edge. One walk along the tape gives every slope there is.
#
# Why do shares *add* where a node has two users? Let s grow by 1. The result moves
# through the first user, and it also moves through the second. For small moves the two
# sum up, as two taps fill one tub. Leave one out, and water is missing.
#
# ===============  ===========  ======================================================
# symbol           in the code  meaning
# ===============  ===========  ======================================================
# :math:`e_k`, h   ``e_k, h``   which input is moved, and how far
# i, j             ``i, j``     nodes; j was made of i, so i is a parent of j
# :math:`s_{ji}`   ``s``        slope of j by its parent i, known when j is made
# :math:`g_i`      ``i.g``      slope of the *last* node by node i: what we want
# x, y             ``x, y``     an array and what a step makes of it, both (n,)
# J                ``J``        the slopes of every y by every x, (n, n)
# g, dx            ``g, dx``    slopes of the last node by y and by x, both (n,)
# ===============  ===========  ======================================================
#
# First a clock, and a way for plain numbers to take part:

clock = itertools.count(1)


def as_value(x):
    return x if isinstance(x, Value) else Value(x)


# %%
# A value is a number with a memory. The clock says when it was made; we will need that.


class Value:
    """A number that remembers its parents, and its slope by each of them."""

    def __init__(self, data, parents=(), slopes=()):
        self.data, self.parents, self.slopes = data, parents, slopes
        self.tick, self.g = next(clock), 0.0

    def __add__(self, b):
        b = as_value(b)
        return Value(self.data + b.data, (self, b), (1.0, 1.0))

    def __mul__(self, b):
        b = as_value(b)
        return Value(self.data * b.data, (self, b), (b.data, self.data))

    __radd__, __rmul__ = __add__, __mul__


# %%
# Functions of one number have one parent. The slope of tanh at y = tanh(a) is 1 - y².


def tanh(a):
    y = np.tanh(a.data)
    return Value(y, (a,), (1 - y * y,))


# %%
# We run the toy with Values. ``history`` collects everything behind the result. Each
# node goes in once (that is what ``seen`` is for), and the clock puts them in order.


def history(last):
    """All nodes that `last` was made of, and itself, oldest first."""
    seen, todo = {last}, [last]
    while todo:
        for i in todo.pop().parents:
            if i not in seen:
                seen.add(i)
                todo.append(i)
    return sorted(seen, key=lambda i: i.tick)


# %%
# **What is on the tape after the run?** Inputs are at the top, the result is at the
# bottom. Black numbers are values; blue ones are the slopes, written down on the way.

a, b = Value(2.0), Value(3.0)
y = toy((a, b))
tape, names = history(y), list("abspqry")
# sphinx_gallery_start_ignore
assert [v.data for v in tape] == [2, 3, 5, 6, 30, 36, 41]
assert tape[4].slopes == (6, 5) and tape[3].slopes == (3, 2)
# sphinx_gallery_end_ignore
plot.tape(tape, names, {"values": [v.data for v in tape]})

# %%
# Check one edge by hand: q = 30 was made of s = 5 and p = 6. Its slope by s is 6.
#
# The walk
# --------
#
# In symbols, the sum runs over all nodes j that have i as a parent:
#
# .. math:: g_i = \sum_{j} g_j\, s_{ji}, \qquad g_\mathrm{last} = 1 \tag{2}


def walk_back(order):
    """Hand slopes to parents, node by node in this order; the last node comes first."""
    order[0].g = 1.0
    for j in order:
        for i, s in zip(j.parents, j.slopes):
            i.g += j.g * s  # numbers: g_i += g_j s_ji


# %%
# Since shares are added, the next walk must start from zeros.


def clear(tape):
    for i in tape:
        i.g = 0.0


# %%
# That is the engine. We visit the youngest node first and stop the walk early. **Who
# knows how much, and when?** Dashed nodes have received nothing. The small black discs
# count the visits.

backwards, stages, visits = tape[::-1], {}, {}
for k in (1, 3, 4, 5):
    clear(tape)
    walk_back(backwards[:k])
    stages[f"visits: {k}"] = [i.g or None for i in tape]
    visits[f"visits: {k}"] = backwards[:k]
# sphinx_gallery_start_ignore
assert stages["visits: 3"][2:4] == [7, 6] and stages["visits: 1"][2] == 1
assert stages["visits: 4"][:2] == [18, 12] and stages["visits: 5"][:2] == [25, 19]
# sphinx_gallery_end_ignore
plot.tape(tape, names, stages, visits)

# %%
# Follow s. After one visit it holds 1, from y. After three it holds 7, since q has
# added its 6. In the end a holds 7 · 1 + 6 · 3 = 25 and b holds 7 · 1 + 6 · 2 = 19.
# No late digit is wrong this time.
#
# What broke it: a node in a hurry
# --------------------------------
#
# Do we need the clock? Here is a shorter plan: visit nodes in the order in which we
# meet them. First y, then its parents, then theirs. First met, first served.
#
# **Predict.** With this order, what does a hold at the end: (i) 25, the order of a sum
# can't matter; (ii) 19; (iii) 50, since nodes are met twice?


def as_met(last):
    order = [last]
    for j in order:
        order += [i for i in j.parents if i not in order]
    return order


# %%
# **In which order was each node visited?** Wrong numbers are framed.

hurried, found = as_met(y), {}
for title, order in {"youngest first": backwards, "as met": hurried}.items():
    clear(tape)
    walk_back(order)
    found[title] = [i.g for i in tape]
# sphinx_gallery_start_ignore
assert found["youngest first"][:2] == [25, 19] and found["as met"][:2] == [19, 13]
assert hurried.index(tape[2]) == 1 and found["as met"][2] == 7
assert sorted(map(id, hurried)) == sorted(map(id, tape))
# sphinx_gallery_end_ignore
orders = {"youngest first": backwards, "as met": hurried}
wrong = [("as met", "a"), ("as met", "b")]
plot.tape(tape, names, found, visits=orders, wrong=wrong)

# %%
# **Answer.** (ii): a holds 19 for 25, and b holds 13 for 19. Look at s on the right. It
# was visited second, when it held 1, and it handed on 1. Its other 6 came later and
# stayed there: it shows the right 7, but a never heard of it. The order of a *sum* does
# not matter; the order of *passing on* does. A node may pass its slope on only when all
# of its users have been visited. Users are always younger than what they use, so
# "youngest first" keeps the rule, whatever the graph looks like. This is called a
# topological order.
#
# The nasty part: with the brackets moved, as (s + p) + q, the hurried order is right.
# Code that passes on one graph proves little.
#
# What does it cost?
# ------------------
#
# Back to the first picture, and this time we count. Our f adds the products of all
# neighbours and takes the tanh. One operation of a run is one node with parents; one
# operation of the walk is one edge.
#
# **Predict.** f has 1,000 inputs, and one run takes 1,998 operations. A run and the
# walk, for 1,000 slopes, take together about (i) 6,000, (ii) 60,000, (iii) 2,000,000?


def chain(x):
    """tanh(x_1 x_2 + x_2 x_3 + ...) for a list of n Values."""
    total = x[0] * x[1]
    for u, v in zip(x[1:], x[2:]):
        total = total + u * v
    return tanh(total)


# %%
# Both counts can be read off the tape.


def operations(n):
    """Operations of one run of `chain` with n inputs, and of the walk."""
    tape = history(chain([Value(n**-0.5) for _ in range(n)]))
    return sum(bool(j.parents) for j in tape), sum(len(j.parents) for j in tape)


# %%
# **Do the counted points lie on the line that the first picture promised?**

few = np.array([10, 100, 1000, 10_000])  # (4,) numbers of inputs
counted = np.array([sum(operations(k)) for k in few])  # (4,) run and walk together
print("few", few.shape, few[:3], " counted", counted.shape, counted[:3])
dots = {"moving each input": (n, (n + 1) * run), "run and walk": (few, counted)}
# sphinx_gallery_start_ignore
assert operations(1000) == (1998, 3995) and counted[2] == 5993
assert 1001 * 1998 == 1_999_998
u, v = Value(2.0), Value(3.0)
su, pu = u + v, u * v
walk_back(as_met((su + pu) + su * pu))
assert (u.g, v.g) == (25, 19)
many = np.random.default_rng(0).normal(size=10)
leaves = [Value(v) for v in many]
walk_back(history(chain(leaves))[::-1])
by_hand = differences(lambda x: chain([Value(v) for v in x]).data, many)
assert np.allclose([v.g for v in leaves], by_hand, atol=1e-5)
# sphinx_gallery_end_ignore
plot.cost_of_slopes(dots, one_run=(n, run))

# %%
# **Answer.** (i): 5,993 operations, three times a run. (iii) is what moving each input
# costs: 1,999,998. A step has at most two parents, so the walk has at most two edges
# for each operation of the run. That holds for every f made of such steps, and for
# every number of inputs. This is the answer to the opening question.
#
# .. note::
#
#    Textbooks call our walk *reverse mode*, or backpropagation where f is a network,
#    and g the *adjoint* of a node. The names differ, the numbers don't.
#
# A curve, fitted by your own lines
# ---------------------------------
#
# Is this enough to train something? Twenty points, five units
# :math:`c \tanh(w x + b)`, and the mean squared error. For each step we run, walk back,
# and move each weight a little against its slope.

rng = np.random.default_rng(0)
x = np.linspace(-2, 2, 20)  # (20,)
t = np.sin(2 * x) + 0.1 * rng.normal(size=20)  # (20,)
weights = [[Value(v) for v in row] for row in rng.normal(size=(5, 3))]  # 5 x (w, b, c)
print("x", x.shape, x[:3].round(3), " t", t.shape, t[:3].round(3))
print("first w, b, c:", *[round(v.data, 3) for v in weights[0]])


# %%
# The whole of training, with nothing hidden:


def net(x):
    return sum(c * tanh(w * x + b) for w, b, c in weights)


def step(rate=0.1):
    errors = [net(x_k) + -t_k for x_k, t_k in zip(x, t)]
    loss = sum(e * e for e in errors) * (1 / len(errors))
    walk_back(history(loss)[::-1])
    for p in itertools.chain(*weights):
        p.data, p.g = p.data - rate * p.g, 0.0
    return loss.data


# %%
# **Does the curve find its points?**

u = np.linspace(-2, 2, 81)  # (81,) places to draw the curve at
curves = {"before": (u, [net(v).data for v in u])}
losses = np.array([step() for _ in range(600)])  # (600,)
curves["after"] = u, [net(v).data for v in u]
print("u", u.shape, u[:3], " losses", losses.shape, losses[[0, 1, -1]].round(3))
# sphinx_gallery_start_ignore
assert round(losses[0], 2) == 0.40 and round(losses[-1], 3) == 0.011
# sphinx_gallery_end_ignore
plot.fitted(x, t, curves, losses, truth=(u, np.sin(2 * u)))

# %%
# The loss falls from .40 to .011. The points carry noise of variance .01, so there is
# little left to gain. Each of the 600 steps wrote a new tape and threw it away.
#
# The same ideas in the library
# -----------------------------
#
# scratchnn's engine is two files: ``scratchnn/tensor.py`` records, and
# ``scratchnn/backward.py`` walks. With your 40 lines in mind you can read them.
#
# ==================  ==========================  ====================================
# yours               scratchnn                   why it is different
# ==================  ==========================  ====================================
# Value               a Tensor and its Node       a Node never points at its Tensor:
#                                                 no cycles, memory is freed at once
# slopes: numbers     rules: functions of g       a slope of arrays is a matrix;
#                                                 a rule never builds it
# tick                ``Node.tick``               the same idea
# ``history``         ``_history``                also refuses a parameter that
#                                                 changed after the run
# ``walk_back``       ``_walk``, ``_pull_back``   frees each node when it leaves it
# ==================  ==========================  ====================================
#
# **What does the library record for our toy?** Orange boxes are trainable inputs, white
# ones are ops, each with the shape of its output.

a, b = (snn.Tensor(v, requires_grad=True) for v in (2.0, 3.0))
y = toy((a, b))
picture = plot.graph(y)
y.backward()
print("a.grad", a.grad, " b.grad", b.grad)
# sphinx_gallery_start_ignore
assert (a.grad, b.grad) == (25, 19)
# sphinx_gallery_end_ignore
picture

# %%
# The same 25 and 19.
#
# **Predict.** We clear our own tape, walk back, and walk back once more without
# clearing. What does a hold: (i) 25, (ii) 50, or (iii) more than 50?
#
# **Who remembers the first walk?**

clear(tape)
walks = {}
for title in ("one walk", "two walks"):
    walk_back(backwards)
    walks[title] = [i.g for i in tape]
# sphinx_gallery_start_ignore
assert walks["one walk"][:2] == [25, 19] and walks["two walks"][0] == 120
assert walks["two walks"][2:4] == [26, 23] and 26 * 1 + 23 * 3 + 25 == 120
# sphinx_gallery_end_ignore
plot.tape(tape, names, walks)

# %%
# **Answer.** (iii): a holds 120. The nodes in the middle still hold shares of the first
# walk and pass them on again: s arrives at 26, p at 23, and a adds 26 · 1 + 23 · 3 to
# its 25. A wrong number, and no complaint. And the library?

try:
    y.backward()
except snn.GraphError as error:
    message = str(error)
print(textwrap.fill(message, 80))
# sphinx_gallery_start_ignore
assert "consumed by an earlier backward" in message
# sphinx_gallery_end_ignore

# %%
# Its walk keeps slopes outside the nodes and consumes the tape, so a second walk is an
# error that says what to do. Only at inputs do slopes add up from walk to walk. That is
# why an optimizer clears them.
#
# Arrays: never build the matrix
# ------------------------------
#
# With n numbers in and n numbers out, the slope of a step is a matrix J, with the slope
# of output i by input k in row i and column k. Equation (2), for a whole array:
#
# .. math:: dx = J^\top g \tag{3}
#
# For tanh on each entry, J is zero off its diagonal, and (3) is a product of arrays:

x = np.array([-1.5, -0.2, 0.3, 0.8, 2.0])  # (5,)
g = np.array([0.7, -1.1, 0.4, 1.3, -0.6])  # (5,) what has arrived from later steps
y = np.tanh(x)  # (5,)
J = np.diag(1 - y * y)  # (5, 5)
dx = g * (1 - y * y)  # (5,) * (5,) -> (5,)
for name, array in {"x": x, "g": g, "y": y, "J": J, "dx": dx}.items():
    print(name, array.shape, array.ravel()[:3].round(3))
print("J.T @ g", (J.T @ g)[:3].round(3))

# %%
# scratchnn keeps for each op and each input one such *rule*: g goes in, dx comes out.

rule = snn.TABLE["tanh"].rules[0]
print("the library's rule", rule(g, y, x)[:3].round(3))
# sphinx_gallery_start_ignore
assert np.allclose(J.T @ g, dx, rtol=1e-14) and np.array_equal(rule(g, y, x), dx)
assert 10_000_000**2 * 8 == 800 * 10**12
# sphinx_gallery_end_ignore

# %%
# All three agree. For ten million inputs, J would fill 800 terabytes; dx takes 80
# megabytes. Now the opening question, for real, with the f that we counted.

x = snn.Tensor(rng.normal(size=10_000_000) / 3000, requires_grad=True)  # (10000000,)
times = []
for _ in range(3):
    start = time.perf_counter()
    y = snn.tanh((x[:-1] * x[1:]).sum())
    middle = time.perf_counter()
    y.backward()
    times.append((middle - start, time.perf_counter() - start))
print("x.grad", x.grad.shape, x.grad[:3])
print("seconds: one run, run and walk:", *np.round(min(times, key=sum), 3))
# sphinx_gallery_start_ignore
run_time, both_times = min(times, key=sum)
assert both_times < 100 * run_time
inner = x.data[:-2] + x.data[2:]
assert np.allclose(x.grad[1:-1], 3 * (1 - float(y.data) ** 2) * inner, atol=1e-6)
# sphinx_gallery_end_ignore

# %%
# Seconds differ from computer to computer. The kind of number does not: all ten million
# slopes for the price of some runs, where moving each input would take ten million.
#
# One more thing falls out. A rule is written in ops. When the library walks with
# ``grad``, the rules are recorded, too, so their results have slopes. Our engine can't
# do this: its slopes are plain numbers, with no memory.
#
# **Are slopes of slopes of slopes still right?** tanh and three derivatives, each drawn
# over its formula.

x = snn.Tensor(np.linspace(-3, 3, 121), requires_grad=True)  # (121,)
found = {"tanh x": snn.tanh(x)}
for name in ("first derivative", "second derivative", "third derivative"):
    last = list(found.values())[-1]
    found[name] = snn.grad(last, x, g=np.ones(121))
found = {name: y.data for name, y in found.items()}
y = found["tanh x"]  # (121,)
closed = [y, 1 - y**2, -2 * y * (1 - y**2), (1 - y**2) * (6 * y**2 - 2)]
print("third", found["third derivative"].shape, found["third derivative"][59:62])
# sphinx_gallery_start_ignore
assert all(np.allclose(a, b, atol=1e-12) for a, b in zip(found.values(), closed))
assert abs(found["third derivative"][60] + 2) < 1e-12
# sphinx_gallery_end_ignore
plot.derivatives(x.data, found, dict(zip(found, closed)))

# %%
# They lie on their formulas; the third one is -2 at x = 0. Nobody wrote a rule for it.
#
# Exercises
# ---------
#
# ``scratchnn release engine OUT/`` makes a folder with the tasks. Write your code where
# it says so, and type ``scratchnn check 1.2`` in that folder to have task 1.2 checked.
#
# 1.1 **The rule of a product** (2 lines). ``multiply_rule(g, a, b)`` returns ``(da,
# db)`` for y = a * b; all five arrays have the same shape. *Hint: an edge of our tape
# held the slope; a rule multiplies it by what arrives.*
#
# 1.2 **The rule of a matrix product** (2 lines). ``matmul_rule(g, A, B)`` returns
# ``(dA, dB)`` for Y = A @ B, with A (n, d), B (d, m), g (n, m). *Hint: dA has the shape
# of A; only one order of factors gives it. Then check one entry by equation (2).*
#
# 1.3 **The rule of a layer, by gradient check** (3 lines). ``affine_rule(g, x, W, b)``
# returns ``(dx, dW, db)`` for y = x @ W.T + b, with x (n, d), W (m, d), b (m,), g (n,
# m). Its gradient check compares yours with differences. *Hint: b met n rows, so each
# of its entries has n users.*
#
# 1.4 **The walk on arrays** (7 lines). ``pull_back(parents, slopes)``: nodes 0 to n - 1
# in time order, parents (n, 2) of integers, -1 for none, slopes (n, 2). Return the
# slopes (n,) of the last node by each node. *Hint: which node has no younger user?*
#
# 1.5 **Find the bug** (1 line). ``pull_back_sorted(parents, slopes)`` takes nodes in
# any order, sorts them, and calls yours. It is right on a chain and wrong on our toy.
# *Hint: print the order, and count how often each node is in it.*
#
# What you now know
# -----------------
#
# - One run and one walk along its tape, youngest node first, give all slopes of one
#   output, for about the price of three runs; shares of several users add up.
# - The literature does more: slopes forwards when inputs are few, and tapes that are
#   thrown away and written anew to save memory (Griewank and Walther, *Evaluating
#   Derivatives*, 2008). The walk itself is Linnainmaa's, of 1970.
# - The library's own engine is ``scratchnn/tensor.py`` and ``scratchnn/backward.py``;
#   its rules stand in ``scratchnn/ops``.
