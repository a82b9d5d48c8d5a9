"""Assignment 1: the derivative engine.

You write the backward rules of three ops, and the walk that carries slopes from the
last node of a graph to its first. A rule gets g, the slope of a loss by the op's
output, in the shape of that output. It returns the slope of the loss by each input, in
the shape of that input, and leaves its arguments as they are.

NumPy is all you need. Check your work with `scratchnn check`.
"""

import numpy as np

### BEGIN TESTS
from scratchnn.course import task

### END TESTS


# ---- 1.1 ------------------------------------------------------------------------
def multiply_rule(g, a, b):
    """The rule of y = a * b, entry by entry: return da, db.

    g, a, b: (n, d) -> da, db: (n, d) each.
    """
    ### BEGIN SOLUTION
    return g * b, g * a
    ### END SOLUTION


### BEGIN TESTS
MULTIPLY = task(
    "1.1", "multiply_rule", points=2,
    hint="d(a b)/da is b, and the chain rule multiplies it by what arrives",
)  # fmt: skip


@MULTIPLY.gradient(forward=lambda a, b: a * b)
def _(rng, n=5, d=3):
    """the slopes of a * b"""
    return rng.normal(size=(n, d)), rng.normal(size=(n, d))


@MULTIPLY.value
def _(rng, n=5, d=3):
    """equals the product rule"""
    return tuple(rng.normal(size=(n, d)) for _ in range(3))


@MULTIPLY.invariant
def _(multiply_rule, rng):
    """x * x is x used twice"""
    x = rng.normal(size=7)
    da, db = multiply_rule(np.ones(7), x, x)
    right = np.allclose(da + db, 2 * x)
    assert right, "for a = b = x the two parts must add up to 2 x, the slope of x^2"


### END TESTS
### BEGIN HIDDEN TESTS
@MULTIPLY.value
def _(rng, n=7, m=2, d=3):
    """also for arrays of three axes, some entries 0"""
    a = rng.integers(-1, 2, (n, m, d)) * 0.7
    return rng.normal(size=(n, m, d)), a, rng.normal(size=(n, m, d))


MULTIPLY.mistake(
    "M17", "chain rule: multiply by what arrives, g",
    lambda g, a, b: (b, a),
)  # fmt: skip
MULTIPLY.mistake(
    "swapped", "the slope by a has the other factor in it, b",
    lambda g, a, b: (g * a, g * b),
)  # fmt: skip
MULTIPLY.mistake(
    "M05", "two names for one array: what you do to one, both see",
    lambda g, a, b: (g * a * b, g * a * b),
)  # fmt: skip
MULTIPLY.mistake(
    "M25", "g was written into, and then used once more: make new arrays",
    lambda g, a, b: (g * b, g * b * a),
    lambda g, a, b: (g * a * b, g * a),
)  # fmt: skip
MULTIPLY.mistake(
    "M31", "an array of whole numbers cuts off what is behind the point",
    lambda g, a, b: ((g * b).astype(int), (g * a).astype(int)),
    lambda g, a, b: (np.trunc(g * b), np.trunc(g * a)),
)  # fmt: skip
MULTIPLY.mistake(
    "M01", "each input has a slope of its own: return them one by one",
    lambda g, a, b: (g * (a + b), g * (a + b)),
)  # fmt: skip
MULTIPLY.mistake(
    "sum", "that is the rule of a + b: here each is scaled by the other",
    lambda g, a, b: (g, g),
)  # fmt: skip


### END HIDDEN TESTS
# ---- 1.2 ------------------------------------------------------------------------
def matmul_rule(g, A, B):
    """The rule of Y = A @ B: return dA, dB.

    g: (n, m), A: (n, d), B: (d, m) -> dA: (n, d), dB: (d, m).
    """
    ### BEGIN SOLUTION
    return g @ B.T, A.T @ g
    ### END SOLUTION


### BEGIN TESTS
MATMUL = task(
    "1.2", "matmul_rule", points=3,
    hint="write the shapes beside each factor: one product of g and B has A's shape",
)  # fmt: skip


@MATMUL.gradient(forward=lambda A, B: np.einsum("nd, dm -> nm", A, B))
def _(rng, n=5, d=3, m=2):
    """the slopes of A @ B"""
    return rng.normal(size=(n, d)), rng.normal(size=(d, m))


@MATMUL.value
def _(rng, n=5, d=3, m=2):
    """equals a loop over all products"""
    shapes = (n, m), (n, d), (d, m)
    return tuple(rng.normal(size=s) for s in shapes)


@MATMUL.invariant
def _(matmul_rule, rng):
    """twice the A doubles dB and leaves dA"""
    g, A, B = (rng.normal(size=s) for s in ((7, 2), (7, 3), (3, 2)))
    (dA, dB), (dA_2, dB_2) = matmul_rule(g, A, B), matmul_rule(g, 2 * A, B)
    assert np.allclose(dA, dA_2), "dA changes with A, but A @ B is linear in A"
    assert np.allclose(2 * dB, dB_2), "dB must double with A: it is A that scales B"


### END TESTS
### BEGIN HIDDEN TESTS
@MATMUL.value
def _(rng, n=3, d=3):
    """also for square matrices, where a wrong transpose fits"""
    return tuple(rng.normal(size=(n, d) if n == d else (d, d)) for _ in range(3))


@MATMUL.invariant
def _(matmul_rule, rng):
    """<dA, A> = <g, A @ B> = <dB, B>"""
    g, A, B = (rng.normal(size=s) for s in ((5, 7), (5, 2), (2, 7)))
    dA, dB = matmul_rule(g, A, B)
    whole = (g * (A @ B)).sum()
    assert np.allclose((dA * A).sum(), whole), "dA . A is not g . Y, as it must be"
    assert np.allclose((dB * B).sum(), whole), "dB . B is not g . Y, as it must be"


MATMUL.mistake(
    "M15", "a gradient has the shape of what it belongs to: dB is (d, m)",
    lambda g, A, B: ((g @ B.T).T, g.T @ A),
)  # fmt: skip
MATMUL.mistake(
    "M13", "reshape keeps the order of the numbers; a transpose does not",
    lambda g, A, B: ((B @ g.T).reshape(A.shape), (g.T @ A).reshape(B.shape)),
    lambda g, A, B: (g @ B.reshape(B.shape[::-1]), A.reshape(A.shape[::-1]) @ g),
)  # fmt: skip
MATMUL.mistake(
    "order", "the order of factors matters: which inner axes meet?",
    lambda g, A, B: (B @ g, g @ A),
    lambda g, A, B: (B.T @ g, g @ A.T),
)  # fmt: skip
MATMUL.mistake(
    "transpose", "a transpose is missing: which inner axes must meet?",
    lambda g, A, B: (g @ B, A @ g),
)  # fmt: skip
MATMUL.mistake(
    "elementwise", "* works entry by entry; here rows meet columns: @",
    lambda g, A, B: (g * B, A * g),
)  # fmt: skip
MATMUL.mistake(
    "swapped", "dA comes first, then dB",
    lambda g, A, B: (A.T @ g, g @ B.T),
)  # fmt: skip
MATMUL.mistake(
    "M17", "chain rule: multiply by what arrives, g",
    lambda g, A, B: (np.ones_like(g) @ B.T, A.T @ np.ones_like(g)),
    lambda g, A, B: (B.T, A.T),
)  # fmt: skip
MATMUL.mistake(
    "mean", "each entry of B is used n times: add its slopes, no mean",
    lambda g, A, B: (g @ B.T, A.T @ g / len(A)),
)  # fmt: skip


### END HIDDEN TESTS
# ---- 1.3 ------------------------------------------------------------------------
def affine_rule(g, x, W, b):
    """The rule of y = x @ W.T + b, a layer on n rows: return dx, dW, db.

    g: (n, m), x: (n, d), W: (m, d), b: (m,) -> dx: (n, d), dW: (m, d), db: (m,).
    """
    ### BEGIN SOLUTION
    return g @ W, g.T @ x, g.sum(axis=0)
    ### END SOLUTION


### BEGIN TESTS
AFFINE = task(
    "1.3", "affine_rule", points=3, needs=["1.2"],
    hint="y = x @ W.T is a matmul with B = W.T; b is used once in each of n rows",
)  # fmt: skip


@AFFINE.gradient(forward=lambda x, W, b: np.einsum("nd, md -> nm", x, W) + b)
def _(rng, n=5, d=3, m=2):
    """the slopes of x @ W.T + b"""
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)), rng.normal(size=m)


@AFFINE.value
def _(rng, n=5, d=3, m=2):
    """equals a loop over rows"""
    shapes = (n, m), (n, d), (m, d), (m,)
    return tuple(rng.normal(size=s) for s in shapes)


@AFFINE.invariant
def _(affine_rule, rng):
    """every row given twice: dW and db double"""
    g, x, W, b = (rng.normal(size=s) for s in ((5, 2), (5, 3), (2, 3), (2,)))
    once = affine_rule(g, x, W, b)
    twice = affine_rule(np.concatenate([g, g]), np.concatenate([x, x]), W, b)
    for name, one, two in zip(("dW", "db"), once[1:], twice[1:]):
        right = np.shape(one) == np.shape(two) and np.allclose(2 * one, two)
        assert right, f"{name} must double: slopes of all rows add up"


### END TESTS
### BEGIN HIDDEN TESTS
@AFFINE.value
def _(rng, n=7, d=5, m=3):
    """for other sizes and large numbers"""
    shapes = (n, m), (n, d), (m, d), (m,)
    return tuple(100 * rng.normal(size=s) for s in shapes)


AFFINE.mistake(
    "M07", "the bias met n rows: add their gradients, a mean is n times less",
    lambda g, x, W, b: (g @ W, g.T @ x / len(x), g.mean(0)),
)  # fmt: skip
AFFINE.mistake(
    "M09", "one sum for each output: sum over the rows only, axis 0",
    lambda g, x, W, b: (g @ W, g.T @ x, g.sum()),
    lambda g, x, W, b: (g @ W, g.T @ x, np.full_like(b, g.sum())),
    lambda g, x, W, b: (g @ W, g.T @ x, g.sum(1)),
)  # fmt: skip
AFFINE.mistake(
    "M15", "dW has the shape of W, which is (m, d): g.T comes first",
    lambda g, x, W, b: (g @ W, x.T @ g, g.sum(0)),
)  # fmt: skip
AFFINE.mistake(
    "M13", "reshape keeps the order of the numbers; a transpose does not",
    lambda g, x, W, b: (g @ W, (x.T @ g).reshape(W.shape), g.sum(0)),
)  # fmt: skip
AFFINE.mistake(
    "broadcast", "b was broadcast over the rows: sum their slopes, axis 0",
    lambda g, x, W, b: (g @ W, g.T @ x, g),
)  # fmt: skip
AFFINE.mistake(
    "broadcast", "b has the shape (m,): no axis of length 1 is kept",
    lambda g, x, W, b: (g @ W, g.T @ x, g.sum(0, keepdims=True)),
)  # fmt: skip
AFFINE.mistake(
    "transpose", "W enters transposed, so on the way back it does not",
    lambda g, x, W, b: (g @ W.T, g @ x, g.sum(0)),
)  # fmt: skip
AFFINE.mistake(
    "M17", "chain rule: multiply by what arrives, g",
    lambda g, x, W, b: affine_rule(np.ones_like(g), x, W, b),
    lambda g, x, W, b: (W, x, np.ones_like(b)),
)  # fmt: skip
AFFINE.mistake(
    "M17", "db is what arrives, summed over the rows; b itself has no part",
    lambda g, x, W, b: (g @ W, g.T @ x, (g * b).sum(0)),
)  # fmt: skip

STEP_FIRST = "all gradients first, then the step: dx wants the W of the forward"
for lr in (1.0, 0.5, 0.1, 0.05, 0.01, 0.001):

    @AFFINE.mistake("M29", STEP_FIRST)
    def _(g, x, W, b, lr=lr):
        return g @ (W - lr * g.T @ x), g.T @ x, g.sum(0)


### END HIDDEN TESTS
# ---- 1.4 ------------------------------------------------------------------------
def pull_back(parents, slopes):
    """The slope of the last node of a graph by every node.

    Node k was computed from at most two earlier nodes, parents[k]; -1 stands for none.
    slopes[k] are the slopes of node k by these two. Nodes stand in the order in which
    they were computed. A node may be used by several others, or twice by one: x * x
    has parents [j, j].

    parents: (n, 2) whole numbers, slopes: (n, 2) -> (n,), 1.0 for the last node.
    """
    ### BEGIN SOLUTION
    gradient = np.zeros(len(parents))
    gradient[-1] = 1.0
    for k in reversed(range(len(parents))):
        for parent, slope in zip(parents[k], slopes[k]):
            if parent >= 0:
                gradient[parent] += gradient[k] * slope
    return gradient
    ### END SOLUTION


### BEGIN TESTS
PULL = task(
    "1.4", "pull_back", points=4,
    hint="walk from the last node to the first, adding to the slopes of parents; "
    "-1 is no parent",
)  # fmt: skip


def graph(rng, n):
    """A graph of n nodes: parents and slopes. A chain, shortcuts, one node squared."""
    parents = np.array([rng.integers(-1, max(k, 1), 2) for k in range(n)])
    parents[:, 0] = np.arange(n) - 1
    parents[0], parents[n - 1, 1] = -1, 0 if n > 1 else -1
    squared = rng.integers(1, n - 1) if n > 2 else n - 1
    parents[squared] = squared - 1
    return parents, rng.uniform(0.5, 1.5, (n, 2)) * rng.choice([-1.0, 1.0], (n, 2))


@PULL.value
def _(rng, n=7):
    """equals the sum over all paths"""
    return graph(rng, n)


@PULL.gradient(
    forward=lambda x: np.array([(x[0] * x[1] + x[0]) ** 2]),
    call=lambda pull_back, g, x: g
    * pull_back(
        np.array([[-1, -1], [-1, -1], [0, 1], [2, 0], [3, 3]]),
        np.array([[0, 0], [0, 0], [x[1], x[0]], [1, 1], [x[0] * x[1] + x[0]] * 2]),
    )[:2],
)
def _(rng):
    """the slopes of (a b + a)^2 by a and b"""
    return rng.uniform(1, 2, 2)


@PULL.invariant
def _(pull_back, rng):
    """x + x + ... + x is n times x"""
    parents = np.array([[-1, -1], [0, 0], [1, 0], [2, 0], [3, 0]])
    slope = pull_back(parents, np.ones((5, 2)))[0]
    assert slope == 5, f"node 0 is used 5 times with slope 1: 5.0, yours is {slope}"


### END TESTS
### BEGIN HIDDEN TESTS
@PULL.value
def _(rng, n=13, unused=3):
    """with nodes that do not lead to the last one"""
    parents, slopes = graph(rng, n)
    parents[n - 1] = [max(n - 1 - unused, -1), -1]
    return parents, slopes


@PULL.invariant
def _(pull_back, rng):
    """a thousand nodes in a chain"""
    parents = np.stack([np.arange(1000) - 1, np.full(1000, -1)], axis=1)
    slope = pull_back(parents, np.ones((1000, 2)))[0]
    assert slope == 1, "in a chain with slopes 1 all slopes are 1"


def walk(
    parents, slopes, nodes=None, add=True, start=0.0, end=1.0, least=0, columns=(0, 1),
    pull=lambda own, slope: own * slope, kept=lambda x: x, each=True,
):  # fmt: skip
    """pull_back, with room for mistakes."""
    gradient = np.full(len(parents), start)
    gradient[-1] = end
    for k in reversed(range(len(parents))) if nodes is None else nodes:
        old = gradient if each else gradient.copy()  # += with a list adds once
        for c in columns:
            parent, part = parents[k, c], pull(old[k], slopes[k, c])
            if parent >= least:
                gradient[parent] = kept(old[parent] + part if add else part)
    return gradient


def search(parents, slopes, first=False, again=False):
    """Passes on in the order of a search, what a node has when it is met."""
    gradient = np.zeros(len(parents))
    gradient[-1] = 1.0
    waiting, seen = [len(parents) - 1], set()
    while waiting and len(waiting) < 100_000:
        k = waiting.pop(0 if first else -1)
        if k in seen and not again:
            continue
        seen.add(k)
        for parent, slope in zip(parents[k], slopes[k]):
            if parent >= 0:
                gradient[parent] += gradient[k] * slope
                waiting.append(parent)
    return gradient


def recursion(parents, slopes, again=False):
    """The same, where a node passes on as soon as it gets something."""
    gradient, seen = np.zeros(len(parents)), set()
    gradient[-1] = 1.0

    def visit(k):
        if k in seen and not again:
            return
        seen.add(k)
        for parent, slope in zip(parents[k], slopes[k]):
            if parent >= 0:
                gradient[parent] += gradient[k] * slope
                visit(parent)

    visit(len(parents) - 1)
    return gradient


EARLY = "a node may pass its slope on only when all of its users have added to it"
WHOLE = "an array of whole numbers cuts off what is behind the point"
USED_TWICE = "x * x uses x twice: two terms (and += with an index twice adds once)"
PULL.mistake(
    "M01", "a node is used several times; the slopes of its uses add up: +=",
    lambda parents, slopes: walk(parents, slopes, add=False),
)  # fmt: skip
PULL.mistake(
    "M21", USED_TWICE,
    lambda parents, slopes: walk(parents, slopes, each=False),
)  # fmt: skip
PULL.mistake(
    "M19", USED_TWICE,
    lambda parents, slopes: walk(parents, slopes, each=False, columns=(1, 0)),
)  # fmt: skip
PULL.mistake(
    "list", "gradient[parents[k]] += adds once where both parents are one node, and -1 "
    "is the last node: take the parents one by one, test >= 0",
    lambda parents, slopes: walk(parents, slopes, each=False, least=-1),
)  # fmt: skip
PULL.mistake(
    "list", "slopes of several uses add up: +=, not =; and -1, no parent, is the last "
    "node to NumPy: test >= 0",
    lambda parents, slopes: walk(parents, slopes, add=False, least=-1),
    lambda parents, slopes: walk(parents, slopes, add=False, least=-1, each=False),
)  # fmt: skip
PULL.mistake(
    "second", "a node has two parents: both get their part",
    lambda parents, slopes: walk(parents, slopes, columns=[0]),
    lambda parents, slopes: walk(parents, slopes, columns=[1]),
)  # fmt: skip
PULL.mistake(
    "M03", EARLY,
    lambda parents, slopes: search(parents, slopes),
    lambda parents, slopes: search(parents, slopes, first=True),
    lambda parents, slopes: recursion(parents, slopes),
)  # fmt: skip
PULL.mistake(
    "M03", "the walk goes from the last node to the first, the other way round",
    lambda parents, slopes: walk(parents, slopes, nodes=range(len(parents))),
)  # fmt: skip
PULL.mistake(
    "visited", "a node that is met twice passes on twice what it had: each node once",
    lambda parents, slopes: search(parents, slopes, first=True, again=True),
    lambda parents, slopes: search(parents, slopes, again=True),
    lambda parents, slopes: recursion(parents, slopes, again=True),
)  # fmt: skip
PULL.mistake(
    "M17", "chain rule: the slope of the node itself is a factor, gradient[k]",
    lambda parents, slopes: walk(parents, slopes, pull=lambda own, slope: slope),
)  # fmt: skip
PULL.mistake(
    "slope", "chain rule: the slope of the edge is a factor, slopes[k]",
    lambda parents, slopes: walk(parents, slopes, pull=lambda own, slope: own),
)  # fmt: skip
PULL.mistake(
    "seed", "the walk needs a start: the last node's slope by itself is 1, others 0",
    lambda parents, slopes: np.zeros(len(parents)),
    lambda parents, slopes: walk(parents, slopes, start=1.0),
)  # fmt: skip
PULL.mistake(
    "none", "-1 is no parent (to NumPy the last node), 0 is a node: test >= 0",
    lambda parents, slopes: walk(parents, slopes, least=-1),
    lambda parents, slopes: walk(parents, slopes, least=1),
)  # fmt: skip
PULL.mistake(
    "M31", WHOLE,
    lambda parents, slopes: walk(parents, slopes, start=0, end=1),
    lambda parents, slopes: walk(parents, slopes, kept=np.trunc),
)  # fmt: skip


### END HIDDEN TESTS
# ---- 1.5 ------------------------------------------------------------------------
def pull_back_sorted(parents, slopes):
    """The same as pull_back, where nodes stand in any order. It has a bug: find it.

    The function lists the nodes so that each comes after those it was computed from,
    numbers them anew in that order, and calls pull_back. On a chain it is right; where
    two nodes use the same one, it is not. One line must change.

    parents: (n, 2) whole numbers, -1 for none, slopes: (n, 2) -> (n,), the slopes of
    the last row's node by every node; 0.0 for a node that does not lead to it.
    """
    order = []

    def visit(k):
        for parent in parents[k]:
            """ # BEGIN PROMPT
            if parent >= 0:
                visit(parent)
            """  # END PROMPT
            # BEGIN SOLUTION NO PROMPT
            if parent >= 0 and parent not in order:
                visit(parent)
            # END SOLUTION
        order.append(k)

    visit(len(parents) - 1)
    place = {k: new for new, k in enumerate(order)}
    renumbered = np.array([[place.get(p, -1) for p in parents[k]] for k in order])
    gradient = np.zeros(len(parents))
    gradient[order] = pull_back(renumbered, slopes[order])
    return gradient


### BEGIN TESTS
SORTED = task(
    "1.5", "pull_back_sorted", points=3, needs=["1.4"],
    hint="print `order` for a diamond, [[-1, -1], [0, -1], [0, -1], [1, 2]]",
)  # fmt: skip


def shuffled(rng, n):
    """A graph whose nodes stand in any order, the last one at the end."""
    parents = np.array([rng.integers(-1, max(k, 1), 2) for k in range(n)])
    parents[0] = -1
    for k in range(1, n):  # each uses the one before it, as its first or its second
        parents[k, rng.integers(2)] = k - 1
    place = np.append(rng.permutation(n - 1), n - 1)  # of each node
    moved = np.empty_like(parents)
    moved[place] = np.where(parents < 0, -1, place[parents])
    return moved, rng.uniform(0.5, 1.5, (n, 2)) * rng.choice([-1.0, 1.0], (n, 2))


@SORTED.value
def _(rng, n=7):
    """equals the sum over all paths, nodes in any order"""
    return shuffled(rng, n)


@SORTED.gradient(
    forward=lambda x: np.array([x[0] * x[1] * (x[0] + x[1])]),
    call=lambda pull_back_sorted, g, x: g
    * pull_back_sorted(
        np.array([[-1, -1], [2, 0], [-1, -1], [0, 2], [3, 1]]),
        np.array([[0, 0], [1, 1], [0, 0], [x[1], x[0]], [x[0] + x[1], x[0] * x[1]]]),
    )[[0, 2]],
)
def _(rng):
    """the slopes of a b (a + b) by a and b"""
    return rng.uniform(1, 2, 2)


@SORTED.invariant
def _(pull_back_sorted, rng):
    """a diamond: x goes two ways, and each way counts once"""
    parents = np.array([[-1, -1], [0, -1], [1, -1], [1, -1], [2, 3]])
    slopes = np.array([[0, 0], [2, 0], [3, 0], [5, 0], [1, 1]], dtype=float)
    slope = pull_back_sorted(parents, slopes)[0]
    assert slope == 16, f"2 * 3 + 2 * 5 = 16 by node 0, yours is {slope}"


### END TESTS
### BEGIN HIDDEN TESTS
@SORTED.value
def _(rng, n=11, unused=2):
    """with nodes that do not lead to the last one"""
    parents, slopes = shuffled(rng, n)
    parents[rng.integers(0, n, unused), 1] = -1
    return parents, slopes


def in_order(parents, slopes, once=True, before=False, turn=False, least=0):
    """pull_back_sorted, with room for mistakes."""
    order = []

    def visit(k):
        order.extend([k] * before)
        for parent in parents[k]:
            if parent >= least and not (once and parent in order):
                visit(parent)
        order.extend([k] * (not before))

    visit(len(parents) - 1)
    order = order[::-1] if turn else order
    place = {k: new for new, k in enumerate(order)}
    numbers = np.array([[place.get(p, -1) for p in parents[k]] for k in order])
    gradient = np.zeros(len(parents))
    gradient[order] = pull_back(numbers, slopes[order])
    return gradient


SORTED.mistake(
    "visited", "`order` has nodes twice; each must be there once, after its parents",
    lambda parents, slopes: in_order(parents, slopes, once=False),
)  # fmt: skip
SORTED.mistake(
    "M03", EARLY,
    lambda parents, slopes: pull_back(parents, slopes),
    lambda parents, slopes: in_order(parents, slopes, turn=True),
    lambda parents, slopes: in_order(parents, slopes, before=True),
    lambda parents, slopes: search(parents, slopes),
    lambda parents, slopes: search(parents, slopes, first=True),
    lambda parents, slopes: recursion(parents, slopes),
)  # fmt: skip
SORTED.mistake(
    "none", "-1 is no parent, 0 is a node like the others: test >= 0",
    lambda parents, slopes: in_order(parents, slopes, least=1),
)  # fmt: skip
### END HIDDEN TESTS
