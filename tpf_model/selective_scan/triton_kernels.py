"""Triton kernels of the selective scan, and the pieces that the kernels of the whole ViM block share with it.

The sequence is cut into tiles of T tokens, and S tiles make a span. `local_kernel` runs through all spans side by side
from a zero state; `carry_kernel` scans over the spans' ends, which gives each span's true entry state; `output_kernel`
runs through all tiles side by side, each from its own entry state. What a pass needs of a token is computed anew.

Numerics: float32. A decay over many tokens is exp(A * sum(delta)), from a sum, and its exponent is never positive. A
product of single decays only occurs inside a tile. Exponents are base 2, as the hardware's: `rates` is A / ln(2).

Inside a kernel a tile of states is (T, N, E): compiled, the lanes of a warp lie along E, then N, and all tokens of a
state are in one thread, so that the scan along T needs no exchange. Tiles of T * N * E / 32 / warps > 128 spill.

A "row" is one independent scan of E channels: (batch entry, group, block of channels). Of each row there are
    local (K, N, E)     the state that enters each tile, were it zero where the tile's span begins
    elapsed (K, E)      the sum of delta from the beginning of the span to the tile
    end (J, N, E)       the state at each span's end, were it zero at its beginning
    total (J, E)        the sum of delta over each span
    carry (J, N, E)     the state that enters each span
with tiles and spans counted in the scan's direction. `rates` is (G, N, E); row r uses rates[r % G].
"""

import triton
import triton.language as tl


@triton.jit
def _high(x):
    """The leading bits of a number, which TF32 holds exactly."""
    return (x.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)


@triton.jit
def product(a, b):
    """a @ b to about float32's accuracy, on tensor cores. Triton's own "tf32x3" adds care for infinities."""
    a_high, b_high = _high(a), _high(b)
    low = tl.dot(a - a_high, b_high, input_precision="tf32")
    low = tl.dot(a_high, b - b_high, low, input_precision="tf32")
    return tl.dot(a_high, b_high, low, input_precision="tf32")


@triton.jit
def flipped(x, REST: tl.constexpr):
    """A tile's 16 tokens, of REST numbers each, in reverse order. Compiled it only renames registers; `tl.flip` has not
    always taken another than the last dimension.
    """
    tl.static_assert(x.shape[0] == 16)
    y = tl.reshape(x.to(tl.int32, bitcast=True), (2, 2, 2, 2, REST))
    for axis in tl.static_range(4):
        y = tl.sum(y, axis, keep_dims=True) - y
    return tl.reshape(y, x.shape).to(tl.float32, bitcast=True)


@triton.jit
def tile_end(state, x, B, delta, ahead, rates):
    """The state (N, E) behind a tile, and the sum (E,) of delta over it. ahead (T, T): 1 where the decay of the second
    token's delta is still ahead of the first, else 0.
    """
    # As a product of matrices: a running sum less the token's own delta would cancel digits.
    remaining = product(ahead, delta)
    passed = tl.sum(delta, 0)
    inside = tl.exp2(remaining[:, None, :] * rates[None]) * (x[:, None, :] * B[:, :, None])
    return tl.exp2(passed[None, :] * rates) * state + tl.sum(inside, 0), passed


@triton.jit
def _then(decay, state, next_decay, next_state):
    return decay * next_decay, next_decay * state + next_state


@triton.jit
def tile_states(entry, decay, added):
    """All states of a tile, (T, N, E): h = decay h + added, from `entry` (N, E)."""
    first = (tl.arange(0, decay.shape[0]) == 0)[:, None, None]
    added += tl.where(first, decay * entry[None], 0.0)
    return tl.associative_scan((decay, added), 0, _then)[1]


@triton.jit
def tile_entry(local, elapsed, carry, rates, row, tile, tiles, SPAN: tl.constexpr):
    """The state (N, E) that enters a tile."""
    E: tl.constexpr = rates.shape[1]
    SIZE: tl.constexpr = rates.shape[0] * E
    e = tl.arange(0, E)
    state = tl.arange(0, rates.shape[0])[:, None] * E + e[None, :]
    at = row.to(tl.int64) * tiles + tile
    span = row.to(tl.int64) * tl.cdiv(tiles, SPAN) + tile // SPAN
    since = tl.load(elapsed + at * E + e)
    return tl.load(local + at * SIZE + state) + tl.exp2(since[None, :] * rates) * tl.load(carry + span * SIZE + state)


@triton.jit
def _later(exponent, state, next_exponent, next_state):
    return exponent + next_exponent, tl.exp2(next_exponent) * state + next_state


@triton.jit
def carry_kernel(
    end, total, rates, carry, spans, groups, N: tl.constexpr, E: tl.constexpr, SPANS: tl.constexpr, STATES: tl.constexpr
):
    """`carry` from `end` and `total`; program (block of STATES of the N * E states, row). SPANS: >= spans."""
    row = tl.program_id(1)
    state = tl.program_id(0) * STATES + tl.arange(0, STATES)[None, :]
    span = tl.arange(0, SPANS)[:, None]
    at = row.to(tl.int64) * spans + span
    exponent = tl.load(total + at * E + state % E, span < spans, 0.0) * tl.load(rates + row % groups * N * E + state)
    reached = tl.load(end + at * N * E + state, span < spans, 0.0)
    reached = tl.associative_scan((exponent, reached), 0, _later)[1]
    tl.store(carry + (at + 1) * N * E + state, reached, span + 1 < spans)
    tl.store(carry + at * N * E + state, tl.zeros_like(reached), span == 0)


@triton.jit
def _channels(pointer, row, blocks, t, tokens, channels, E: tl.constexpr):
    """Where a row's channels are in (rows / blocks, channels, L), as (T, E), and whether they are inside."""
    e = row % blocks * E + tl.arange(0, E)
    at = (row // blocks * channels + e[None, :]).to(tl.int64) * tokens + t[:, None]
    return pointer + at, (t >= 0)[:, None] & (t < tokens)[:, None] & (e < channels)[None, :]


@triton.jit
def _projections(pointer, row, blocks, t, tokens, states, N: tl.constexpr):
    """Where B or C of a row is in (rows / blocks, states, L), as (T, N), and whether it is inside."""
    n = tl.arange(0, N)
    at = (row // blocks * states + n[None, :]).to(tl.int64) * tokens + t[:, None]
    return pointer + at, (t >= 0)[:, None] & (t < tokens)[:, None] & (n < states)[None, :]


@triton.jit
def _rates(pointer, row, groups, N: tl.constexpr, E: tl.constexpr):
    return tl.load(pointer + row % groups * N * E + tl.arange(0, N)[:, None] * E + tl.arange(0, E)[None, :])


@triton.jit
def local_kernel(
    x, delta, B, rates, local, elapsed, end, total, tokens, channels, states, blocks, groups,
    T: tl.constexpr, N: tl.constexpr, E: tl.constexpr, SPAN: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """`local`, `elapsed`, `end` and `total`; program (span, row). x: (rows / blocks, channels, L), delta as x,
    B (rows / blocks, states, L), each as `selective_scan` has it, blocks: of channels to a group.

    REVERSE: the scan of the gradient, where x is the gradient to y, B is C, and a state decays by its own delta.
    """
    row, span = tl.program_id(1), tl.program_id(0)
    tiles = tl.cdiv(tokens, T)
    spans = tl.cdiv(tiles, SPAN)
    e = tl.arange(0, E)
    at_state = tl.arange(0, N)[:, None] * E + e[None, :]
    decay_rates = _rates(rates, row, groups, N, E)
    state = tl.zeros((N, E), tl.float32)
    since = tl.zeros((E,), tl.float32)
    first, second = tl.arange(0, T)[:, None], tl.arange(0, T)[None, :]
    ahead = (first >= second if REVERSE else first < second).to(tl.float32)
    for tile in range(span * SPAN, tl.minimum(tiles, (span + 1) * SPAN)):
        at = row.to(tl.int64) * tiles + tile
        tl.store(local + at * N * E + at_state, state)
        tl.store(elapsed + at * E + e, since)
        t = (tiles - 1 - tile if REVERSE else tile) * T + tl.arange(0, T)
        at_x, inside = _channels(x, row, blocks, t, tokens, channels, E)
        at_delta, _ = _channels(delta, row, blocks, t, tokens, channels, E)
        at_B, inside_B = _projections(B, row, blocks, t, tokens, states, N)
        step = tl.load(at_delta, inside, 0.0)
        source = tl.load(at_x, inside, 0.0)
        if not REVERSE:
            source *= step
        state, passed = tile_end(state, source, tl.load(at_B, inside_B, 0.0), step, ahead, decay_rates)
        since += passed
    at = row.to(tl.int64) * spans + span
    tl.store(end + at * N * E + at_state, state)
    tl.store(total + at * E + e, since)


@triton.jit
def output_kernel(
    u, delta, B, C, rates, local, elapsed, carry, y, tokens, channels, states, blocks, groups,
    T: tl.constexpr, N: tl.constexpr, E: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """y, as u, without the direct path D u; program (tile, row)."""
    row, tile = tl.program_id(1), tl.program_id(0)
    t = tile * T + tl.arange(0, T)
    at_u, inside = _channels(u, row, blocks, t, tokens, channels, E)
    at_delta, _ = _channels(delta, row, blocks, t, tokens, channels, E)
    at_B, inside_B = _projections(B, row, blocks, t, tokens, states, N)
    at_C, _ = _projections(C, row, blocks, t, tokens, states, N)
    at_y, _ = _channels(y, row, blocks, t, tokens, channels, E)
    decay_rates = _rates(rates, row, groups, N, E)
    entry = tile_entry(local, elapsed, carry, decay_rates, row, tile, tl.cdiv(tokens, T), SPAN)
    step = tl.load(at_delta, inside, 0.0)
    x = step * tl.load(at_u, inside, 0.0)
    decay = tl.exp2(step[:, None, :] * decay_rates[None])
    added = x[:, None, :] * tl.load(at_B, inside_B, 0.0)[:, :, None]
    h = tile_states(entry, decay, added)
    tl.store(at_y, tl.sum(h * tl.load(at_C, inside_B, 0.0)[:, :, None], 1), inside)


@triton.jit
def gradient_kernel(
    u, delta, B, C, dy, rates, local, elapsed, carry, local_g, elapsed_g, carry_g, du, ddelta, dB, dC, dA,
    tokens, channels, states, blocks, groups,
    T: tl.constexpr, N: tl.constexpr, E: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Gradients to all operands; program (tile, row). du, ddelta as u; dB, dC (rows, states, L) of each row alone; dA
    (rows, K, N, E) of each tile alone. local_g, elapsed_g, carry_g: of the gradient's scan, from the end.
    """
    row, tile = tl.program_id(1), tl.program_id(0)
    tiles = tl.cdiv(tokens, T)
    here = tl.arange(0, T)
    t = tile * T + here
    before = tl.where(here > 0, t - 1, -1)  # the entry state stands for what is before the first token
    back = tile * T + T - 1 - here
    at_u, inside = _channels(u, row, blocks, t, tokens, channels, E)
    at_delta, _ = _channels(delta, row, blocks, t, tokens, channels, E)
    at_dy, _ = _channels(dy, row, blocks, t, tokens, channels, E)
    at_u_before, inside_before = _channels(u, row, blocks, before, tokens, channels, E)
    at_delta_before, _ = _channels(delta, row, blocks, before, tokens, channels, E)
    at_delta_after, inside_after = _channels(delta, row, blocks, back + 1, tokens, channels, E)
    at_dy_back, inside_back = _channels(dy, row, blocks, back, tokens, channels, E)
    at_B, inside_B = _projections(B, row, blocks, t, tokens, states, N)
    at_B_before, inside_B_before = _projections(B, row, blocks, before, tokens, states, N)
    at_C_back, inside_C_back = _projections(C, row, blocks, back, tokens, states, N)
    decay_rates = _rates(rates, row, groups, N, E)
    step, step_after = tl.load(at_delta, inside, 0.0), tl.load(at_delta_after, inside_after, 0.0)
    source, upstream = tl.load(at_u, inside, 0.0), tl.load(at_dy, inside, 0.0)
    x = step * source
    x_before = tl.load(at_delta_before, inside_before, 0.0) * tl.load(at_u_before, inside_before, 0.0)
    B_t = tl.load(at_B, inside_B, 0.0)
    B_before = tl.load(at_B_before, inside_B_before, 0.0)

    # What is left at token t of the state before it: kept = decay h[t - 1] = decay (kept[t - 1] + x[t - 1] B[t - 1]).
    decay = tl.exp2(step[:, None, :] * decay_rates[None])
    entry = tile_entry(local, elapsed, carry, decay_rates, row, tile, tiles, SPAN)
    kept = tile_states(entry, decay, decay * (x_before[:, None, :] * B_before[:, :, None]))
    h = kept + x[:, None, :] * B_t[:, :, None]
    # The gradient to h is the same recurrence from the end: g[t] = C[t] dy[t] + decay[t + 1] g[t + 1]. What enters from
    # the next tile already has that decay.
    exit = tile_entry(local_g, elapsed_g, carry_g, decay_rates, row, tiles - 1 - tile, tiles, SPAN)
    last = (here == 0)[:, None, None]
    decay = tl.where(last, 1.0, tl.exp2(step_after[:, None, :] * decay_rates[None]))
    added = tl.load(at_dy_back, inside_back, 0.0)[:, None, :] * tl.load(at_C_back, inside_C_back, 0.0)[:, :, None]
    g = flipped(tile_states(exit, decay, added), N * E)

    dx = tl.sum(g * B_t[:, :, None], 1)
    at_dB, _ = _projections(dB, row, 1, t, tokens, states, N)
    at_dC, _ = _projections(dC, row, 1, t, tokens, states, N)
    tl.store(at_dB, tl.sum(g * x[:, None, :], 2), inside_B)
    tl.store(at_dC, tl.sum(h * upstream[:, None, :], 2), inside_B)
    exponent = g * kept  # gradient to delta * A
    natural = decay_rates * 0.6931471805599453
    at_du, _ = _channels(du, row, blocks, t, tokens, channels, E)
    at_ddelta, _ = _channels(ddelta, row, blocks, t, tokens, channels, E)
    tl.store(at_du, step * dx, inside)
    tl.store(at_ddelta, source * dx + tl.sum(exponent * natural[None], 1), inside)
    at = (row.to(tl.int64) * tiles + tile) * N * E + tl.arange(0, N)[:, None] * E + tl.arange(0, E)[None, :]
    tl.store(dA + at, tl.sum(exponent * step[:, None, :], 0))
