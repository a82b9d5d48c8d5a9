"""How to compute exp: a float32 e^x that the compiler turns into SIMD code.

A processor only adds, multiplies and shifts bits. Three steps lead there:

1. Shrink the problem. Write x = n ln 2 + r with n the integer nearest to x / ln 2.
   Then e^x = 2^n e^r, and |r| <= ln(2) / 2 = 0.35 whatever x was.
2. Approximate what is left. On that short interval a polynomial of degree 6 is e^r to
   0.05 of float32's rounding. Its first terms, 1 + r, are added last: they are the
   large ones, and the rounding of the last addition is nearly the whole error.
3. Multiply by 2^n, for nothing: a float32 is (-1)^s 2^(e - 127) 1.f, with the bits of
   e in places 23 to 30. So the integer (n + 127) << 23, read as a float, is 2^n.

Two tricks. Rounding to an integer without an instruction for it: floats from 2^23 to
2^24 are the integers, so t = x / ln 2 + 1.5 * 2^23 has been rounded by the addition,
t - 1.5 * 2^23 is n as a float, and the low bits of t are n as an integer. And n ln 2
would be off by n roundings of ln 2, so ln 2 is split in two: HIGH has 9 bits, so that
n * HIGH is exact, and LOW is the rest.

2^n is applied as two factors, each of about 2^(n/2): 2^n itself leaves the range of
floats before e^x does (n = 128), and below 2^-126 the numbers become subnormal.

Error: at most 1.02 units in the last place (ulps) of the exact value for every x (1.014
was the worst when all floats were tried), also where e^x is subnormal; overflow gives
inf, underflow 0, and e^inf, e^-inf, e^nan are inf, 0, nan. NumPy's own float32 exp is
off by up to 2.4 ulps.

Compiling: `contract` lets a * b + c be one instruction. `reassoc` must not be given: it
allows (x + m) - m to become x, which undoes the rounding. Constants are float32:
a Python float would be float64, and so is numba's sum of two int32 an int64: each would
make everything slower, silently.
"""

from llvmlite import ir
from numba import float32, int32, types
from numba.extending import intrinsic

from .share import compiled

EXACT = {"contract", "nsz"}
scalar = compiled(EXACT)

PER_LN2 = float32(1.4426950408889634)
ROUND = float32(1.5 * 2**23)
HIGH = float32(0.693359375)  # 355 / 512
LOW = float32(-2.1219444005469057e-4)  # ln 2 - HIGH
ZERO, ONE, TWO = float32(0), float32(1), float32(2)

# (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2: least squares, reweighted until the largest
# relative error of e^r is smallest (4e-9)
E4, E3 = float32(0.0013814610429108143), float32(0.008368710055947304)
E2, E1 = float32(0.04166838899254799), float32(0.1666652113199234)
E0 = float32(0.4999999403953552)


@intrinsic
def _bits(context, x):
    """The 32 bits of a float32 as an integer."""

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), code


@intrinsic
def _float(context, bits):
    """The float32 that has these 32 bits."""

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), code


@scalar
def exp(x):
    """e^x in float32, within 1.02 ulps."""
    x = float32(90) if x > float32(90) else x  # inf from 88.73 on
    x = float32(-105) if x < float32(-105) else x  # 0 below -103.97
    t = x * PER_LN2 + ROUND
    n = t - ROUND
    r = x - n * HIGH - n * LOW
    p = (((E4 * r + E3) * r + E2) * r + E1) * r + E0
    y = (p * (r * r) + r) + ONE
    k = int32(_bits(t) - _bits(ROUND))  # n again, as an integer
    half = int32(k >> int32(1))
    return y * _power_of_2(half) * _power_of_2(int32(k - half))


@scalar
def exp_down(x):
    """e^x for x <= 0 as exp gives it, but 0 below -87.33: no number is subnormal."""
    y = float32(-87.33) if x < float32(-87.33) else x  # nan stays nan
    t = y * PER_LN2 + ROUND
    n = t - ROUND
    r = y - n * HIGH - n * LOW
    p = (((E4 * r + E3) * r + E2) * r + E1) * r + E0
    y = (p * (r * r) + r) + ONE
    y *= _float(int32(_bits(t) - _bits(ROUND) + int32(127)) << int32(23))
    return ZERO if x < float32(-87.33) else y


@scalar
def _power_of_2(n):
    return _float(int32((n + int32(127)) << int32(23)))


@scalar
def sigmoid(x):
    """1 / (1 + e^-x), within 2.4 ulps; 0 below -88.7, where e^-x overflows."""
    return ONE / (ONE + exp(-x))


# (2 artanh(s) / s - 2) / s^2 in powers of s^2, 0 <= s <= 1/3: fitted likewise
A3, A2 = float32(0.2802446484565735), float32(0.27999138832092285)
A1, A0 = float32(0.4002169966697693), float32(0.6666641235351562)


@scalar
def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + u), u = e^-|x|.

    log(1 + u) = 2 artanh(s) with s = u / (2 + u), which is at most 1/3: there a short
    series in s^2 serves, exact also for tiny u. Within 2.8 ulps.
    """
    u = exp(-abs(x))
    s = u / (TWO + u)
    z = s * s
    log1p = s * z * (((A3 * z + A2) * z + A1) * z + A0) + TWO * s
    return positive(x) + log1p


@scalar
def positive(x):
    """max(x, 0), nan for nan."""
    return ZERO if x < ZERO else x


# (tanh(x) / x - 1) / x^2 in powers of x^2, |x| <= 0.625: fitted likewise
T4, T3 = float32(-0.005704978480935097), float32(0.020639078691601753)
T2, T1 = float32(-0.05373971164226532), float32(0.13331441581249237)
T0 = float32(-0.3333328068256378)


@scalar
def tanh(x):
    """1 - 2 / (e^2|x| + 1) with x's sign, near 0 its series; within 1.4 ulps."""
    size = abs(x)
    z = x * x
    near = x * z * ((((T4 * z + T3) * z + T2) * z + T1) * z + T0) + x
    far = ONE - TWO / (exp(TWO * size) + ONE)
    far = -far if x < ZERO else far
    return near if size < float32(0.625) else far


@scalar
def ordered(x):
    """An integer that is larger for a larger float32; nan is above inf.

    Integer maxima become SIMD; float maxima don't, because of nan.
    """
    b = _bits(x)
    return int32(b ^ ((b >> int32(31)) & int32(0x7FFFFFFF)))


@scalar
def unordered(b):
    """The float32 that `ordered` made b of."""
    return _float(int32(b ^ ((b >> int32(31)) & int32(0x7FFFFFFF))))
