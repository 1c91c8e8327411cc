"""Triton kernels of whole ViM blocks; `vim_triton.py` launches them, `vim.py` is the definition. Their gradients are in
`vim_triton_backward.py`, which shares the pieces.

The scan is that of `selective_scan/triton_kernels.py`, whose words are used here. Everything between a block's tokens
and its result is computed from the tokens in each pass, so that only states at tiles' ends are ever written. Several
blocks of one size run in one launch, each on its own tokens.

A block's weights are one array, packed by `vim_triton.py`. Products of weights are folded into one: of the
in-projection with the convolution (W, of the normalised tokens of four taps), and of both projections of delta (P).
Tokens are (L, C) in memory.
"""

import triton
import triton.language as tl

from tpf_model.selective_scan.triton_kernels import flipped, product, tile_end, tile_entry, tile_states

TAPS = tl.constexpr(4)


@triton.jit
def table(pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A matrix (ROWS, COLUMNS) of the weights."""
    return tl.load(pointer + tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :])


@triton.jit
def vector(pointer, SIZE: tl.constexpr):
    return tl.load(pointer + tl.arange(0, SIZE))


@triton.jit
def silu(x):
    return x / (1 + tl.exp2(x * -1.4426950408889634))


@triton.jit
def _softplus(x):
    """log(1 + exp(x)), where log1p(e) = 2 artanh(e / (e + 2)) as a series: the hardware's logarithm is too coarse."""
    e = tl.exp2(tl.abs(x) * -1.4426950408889634)
    s = e / (e + 2)
    q = s * s
    p = ((((q * (1 / 13) + 1 / 11) * q + 1 / 9) * q + 1 / 7) * q + 1 / 5) * q + 1 / 3
    return tl.maximum(x, 0.0) + 2 * (p * q * s + s)


@triton.jit
def scan_positions(direction, tile, tiles, T: tl.constexpr):
    """Positions in the sequence of a tile's tokens in the order of the scan, (T,), and of their taps, (T, 4). In the
    backward direction the first ones of the first tile lie behind the sequence's end.
    """
    sign = 1 - 2 * direction
    step = direction * (tiles * T - 1) + sign * (tile * T + tl.arange(0, T))
    return step, step[:, None] - sign * tl.arange(0, TAPS)[None, :]


@triton.jit
def load_taps(tokens, at_token, length, half_stride, weights, C: tl.constexpr, HALF: tl.constexpr):
    """Normalised tokens of each row's taps, (T, 4 C); zeros outside the sequence. at_token: (T, 4)."""
    c = tl.arange(0, C)
    inside = ((at_token >= 0) & (at_token < length))[:, :, None]
    at = (at_token[:, :, None] + (c // HALF * half_stride)[None, None, :]) * HALF + (c % HALF)[None, None, :]
    x = tl.load(tokens + at, inside, 0.0)
    x -= (tl.sum(x, 2) / C)[:, :, None]
    x *= tl.rsqrt(tl.sum(x * x, 2) / C + 1e-5)[:, :, None]
    x = x * tl.load(weights + c)[None, None, :] + tl.load(weights + C + c)[None, None, :]
    return tl.reshape(tl.where(inside, x, 0.0), (at_token.shape[0], TAPS * C))


@triton.jit
def gate_and_out(weights, C: tl.constexpr, E: tl.constexpr):
    """Where the gate's and the out-projection's weights are, behind norm's two rows."""
    return weights + 2 * C, weights + 2 * C + TAPS * C * E


@triton.jit
def direction_weights(weights, direction, C: tl.constexpr, E: tl.constexpr, N: tl.constexpr):
    """Where a direction's weights are, behind those that both share: W, the convolution's bias, P, delta's bias, the
    projections to B and to C, and D.
    """
    SHARED: tl.constexpr = 2 * C + TAPS * C * E + E * 16
    ONE: tl.constexpr = TAPS * C * E + 3 * E + E * E + 2 * E * N
    W = weights + SHARED + direction * ONE
    conv_bias = W + TAPS * C * E
    P = conv_bias + E
    delta_bias = P + E * E
    to_B = delta_bias + E
    to_C = to_B + E * N
    return W, conv_bias, P, delta_bias, to_B, to_C, to_C + E * N


@triton.jit
def convolution(taps, weights, direction, C: tl.constexpr, E: tl.constexpr, N: tl.constexpr):
    """A direction's u before and after SiLU, (T, E) each."""
    W, bias, _, _, _, _, _ = direction_weights(weights, direction, C, E, N)
    convolved = product(taps, table(W, TAPS * C, E)) + vector(bias, E)[None, :]
    return convolved, silu(convolved)


@triton.jit
def operands(taps, inside, weights, direction, C: tl.constexpr, E: tl.constexpr, N: tl.constexpr):
    """Of one direction of the scan: u, delta before and after softplus (T, E each), B and C (T, N each)."""
    _, _, P, delta_bias, to_B, to_C, _ = direction_weights(weights, direction, C, E, N)
    _, u = convolution(taps, weights, direction, C, E, N)
    step = product(u, table(P, E, E)) + vector(delta_bias, E)[None, :]
    delta = tl.where(inside[:, None], _softplus(step), 0.0)
    return u, step, delta, product(u, table(to_B, E, N)), product(u, table(to_C, E, N))


@triton.jit
def direct_weights(weights, direction, C: tl.constexpr, E: tl.constexpr, N: tl.constexpr):
    """A direction's D, (E,)."""
    _, _, _, _, _, _, D = direction_weights(weights, direction, C, E, N)
    return vector(D, E)


@triton.jit
def vim_local_kernel(
    tokens, weights, rates, local, elapsed, end, total, length, blocks,
    batch_stride, block_stride, half_stride,
    T: tl.constexpr, C: tl.constexpr, HALF: tl.constexpr, E: tl.constexpr, N: tl.constexpr,
    WEIGHTS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """`local`, `elapsed`, `end` and `total` of rows (batch entry, block, direction); program (span, row).

    batch_stride, block_stride, half_stride: of `tokens`, in rows of HALF channels. WEIGHTS: numbers in a block's.
    """
    row, span = tl.program_id(1), tl.program_id(0)
    direction, block = row % 2, row // 2 % blocks
    tokens += ((row // 2 // blocks).to(tl.int64) * batch_stride + block * block_stride) * HALF
    weights += block * WEIGHTS
    tiles = tl.cdiv(length, T)
    spans = tl.cdiv(tiles, SPAN)
    e = tl.arange(0, E)
    at_state = tl.arange(0, N)[:, None] * E + e[None, :]
    decay_rates = tl.load(rates + (row % (2 * blocks)) * N * E + at_state)
    ahead = (tl.arange(0, T)[:, None] < tl.arange(0, T)[None, :]).to(tl.float32)
    state = tl.zeros((N, E), tl.float32)
    since = tl.zeros((E,), tl.float32)
    for tile in range(span * SPAN, tl.minimum(tiles, (span + 1) * SPAN)):
        at = row.to(tl.int64) * tiles + tile
        tl.store(local + at * N * E + at_state, state)
        tl.store(elapsed + at * E + e, since)
        step, taps = scan_positions(direction, tile, tiles, T)
        taps = load_taps(tokens, taps, length, half_stride, weights, C, HALF)
        u, _, delta, B, _ = operands(taps, step < length, weights, direction, C, E, N)
        state, passed = tile_end(state, delta * u, B, delta, ahead, decay_rates)
        since += passed
    at = row.to(tl.int64) * spans + span
    tl.store(end + at * N * E + at_state, state)
    tl.store(total + at * E + e, since)


@triton.jit
def vim_output_kernel(
    tokens, weights, rates, local, elapsed, carry, result, length, blocks,
    batch_stride, block_stride, half_stride,
    T: tl.constexpr, C: tl.constexpr, HALF: tl.constexpr, E: tl.constexpr, N: tl.constexpr,
    WEIGHTS: tl.constexpr, SPAN: tl.constexpr, SWAP: tl.constexpr,
):  # fmt: skip
    """The blocks' results, rows of C; program (tile, (batch entry, block)). SWAP: two blocks exchange odd channels."""
    index, tile = tl.program_id(1), tl.program_id(0)
    batch, block = (index // blocks).to(tl.int64), (index % blocks).to(tl.int64)
    tokens += (batch * batch_stride + block * block_stride) * HALF
    weights += block * WEIGHTS
    rates += block * 2 * N * E
    tiles = tl.cdiv(length, T)
    t = tile * T + tl.arange(0, T)
    inside = t < length
    tap = tl.arange(0, TAPS)[None, :]
    at_state = tl.arange(0, N)[:, None] * E + tl.arange(0, E)[None, :]

    y = tl.zeros((T, E), tl.float32)
    for direction in range(2):
        step, sign, order = t, 1, tile
        if direction == 1:
            step, sign, order = 2 * tile * T + T - 1 - t, -1, tiles - 1 - tile
        taps = load_taps(tokens, step[:, None] - sign * tap, length, half_stride, weights, C, HALF)
        u, _, delta, B_t, C_t = operands(taps, step < length, weights, direction, C, E, N)
        decay_rates = tl.load(rates + direction * N * E + at_state)
        entry = tile_entry(local, elapsed, carry, decay_rates, 2 * index + direction, order, tiles, SPAN)
        decay = tl.exp2(delta[:, None, :] * decay_rates[None])
        h = tile_states(entry, decay, (delta * u)[:, None, :] * B_t[:, :, None])
        out = tl.sum(h * C_t[:, :, None], 1) + u * direct_weights(weights, direction, C, E, N)[None, :]
        y += tl.where(direction == 1, flipped(out, E), out)

    taps = load_taps(tokens, t[:, None] - tap, length, half_stride, weights, C, HALF)
    into_gate, out_of = gate_and_out(weights, C, E)
    gate = silu(product(taps, table(into_gate, TAPS * C, E)))
    c = tl.arange(0, 16)[None, :]
    here = inside[:, None] & (c < C)
    added = product(y * gate, table(out_of, E, 16))
    token = tl.load(tokens + (t[:, None] + c // HALF * half_stride) * HALF + c % HALF, here, 0.0)
    block = block ^ (c & 1) if SWAP else block
    tl.store(result + ((batch * blocks + block) * length + t[:, None]) * C + c, token + added, here)
