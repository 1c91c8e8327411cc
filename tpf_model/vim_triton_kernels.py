"""Triton kernels of whole ViM blocks, for inference; `vim_triton.py` launches them, `vim.py` is the definition.

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
def _table(pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A matrix (ROWS, COLUMNS) of the weights."""
    return tl.load(pointer + tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :])


@triton.jit
def _row(pointer, COLUMNS: tl.constexpr):
    return tl.load(pointer + tl.arange(0, COLUMNS))


@triton.jit
def _silu(x):
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
def _taps(tokens, at_token, length, half_stride, weights, C: tl.constexpr, HALF: tl.constexpr):
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
def _operands(taps, inside, weights, E: tl.constexpr, N: tl.constexpr):
    """Of one direction of the scan: delta and delta * u (T, E), B and C (T, N), and the direct path D * u (T, E)."""
    TAP_CHANNELS: tl.constexpr = taps.shape[1]
    W = weights
    conv_bias = W + TAP_CHANNELS * E
    P = conv_bias + E
    delta_bias = P + E * E
    B = delta_bias + E
    C = B + E * N
    D = C + E * N
    u = _silu(product(taps, _table(W, TAP_CHANNELS, E)) + _row(conv_bias, E)[None, :])
    delta = _softplus(product(u, _table(P, E, E)) + _row(delta_bias, E)[None, :])
    delta = tl.where(inside[:, None], delta, 0.0)
    return delta, delta * u, product(u, _table(B, E, N)), product(u, _table(C, E, N)), u * _row(D, E)[None, :]


@triton.jit
def _gate_and_out(weights, C: tl.constexpr, E: tl.constexpr):
    """Where the gate's and the out-projection's weights are, behind norm's two rows."""
    return weights + 2 * C, weights + 2 * C + TAPS * C * E


@triton.jit
def _direction(weights, direction, C: tl.constexpr, E: tl.constexpr, N: tl.constexpr):
    """Where a direction's weights are: after those that both share."""
    SHARED: tl.constexpr = 2 * C + TAPS * C * E + E * 16
    ONE: tl.constexpr = TAPS * C * E + 3 * E + E * E + 2 * E * N
    return weights + SHARED + direction * ONE


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
        step = tile * T + tl.arange(0, T)
        taps = step[:, None] - tl.arange(0, TAPS)[None, :]
        if direction == 1:
            step, taps = tiles * T - 1 - step, tiles * T - 1 - taps
        taps = _taps(tokens, taps, length, half_stride, weights, C, HALF)
        delta, x, B, _, _ = _operands(taps, step < length, _direction(weights, direction, C, E, N), E, N)
        state, passed = tile_end(state, x, B, delta, ahead, decay_rates)
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
        taps = _taps(tokens, step[:, None] - sign * tap, length, half_stride, weights, C, HALF)
        own = _direction(weights, direction, C, E, N)
        delta, x, B_t, C_t, direct = _operands(taps, step < length, own, E, N)
        decay_rates = tl.load(rates + direction * N * E + at_state)
        entry = tile_entry(local, elapsed, carry, decay_rates, 2 * index + direction, order, tiles, SPAN)
        decay = tl.exp2(delta[:, None, :] * decay_rates[None])
        h = tile_states(entry, decay, x[:, None, :] * B_t[:, :, None])
        out = tl.sum(h * C_t[:, :, None], 1) + direct
        y += tl.where(direction == 1, flipped(out, E), out)

    taps = _taps(tokens, t[:, None] - tap, length, half_stride, weights, C, HALF)
    into_gate, out_of = _gate_and_out(weights, C, E)
    gate = _silu(product(taps, _table(into_gate, TAPS * C, E)))
    c = tl.arange(0, 16)[None, :]
    here = inside[:, None] & (c < C)
    added = product(y * gate, _table(out_of, E, 16))
    token = tl.load(tokens + (t[:, None] + c // HALF * half_stride) * HALF + c % HALF, here, 0.0)
    block = block ^ (c & 1) if SWAP else block
    tl.store(result + ((batch * blocks + block) * length + t[:, None]) * C + c, token + added, here)
