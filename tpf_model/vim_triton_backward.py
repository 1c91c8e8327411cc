"""Triton kernels of the gradients of whole ViM blocks; `vim_triton.py` launches them after `vim_triton_kernels.py`'s.

Words are those of `selective_scan/triton_kernels.py`. The gradient runs through the scan in the same three phases, from
the end: `vim_local_gradient_kernel` through all spans side by side, `carry_kernel` over their ends, and
`vim_scan_gradient_kernel` through all tiles side by side, to the scan's operands. Two more go on from there to the
convolution's results and to the tokens: a token is a tap of neighbours in other tiles, whose gradients must be known.
All in one needs more registers than there are. What the forward pass computed of a token is computed anew from the
tokens; of its states, those that enter tiles are kept.

Gradients to weights are summed up in registers over a program's share of the tiles, and written as that program's own
block of weights: no atomic additions, so the same sums in the same order each time. They are to the packed weights;
what `vim_triton.py` folded is unfolded by PyTorch's automatic differentiation.
"""

import triton
import triton.language as tl

from tpf_model.selective_scan.triton_kernels import flipped, product, tile_end, tile_entry, tile_states
from tpf_model.vim_triton_kernels import (
    TAPS,
    convolution,
    direct_weights,
    direction_weights,
    gate_and_out,
    load_taps,
    operands,
    scan_positions,
    silu,
    table,
)

LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _sigmoid(x):
    return 1 / (1 + tl.exp2(x * -1.4426950408889634))


@triton.jit
def _silu_slope(x):
    s = _sigmoid(x)
    return s * (1 + x * (1 - s))


@triton.jit
def _transposed(pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The transpose (COLUMNS, ROWS) of a matrix (ROWS, COLUMNS) of the weights."""
    return tl.load(pointer + tl.arange(0, COLUMNS)[:, None] + tl.arange(0, ROWS)[None, :] * COLUMNS)


@triton.jit
def _arriving(gradient, batch, block, blocks, t, length, C: tl.constexpr, SWAP: tl.constexpr):
    """The gradient to a block's result before an exchange of channels, (T, 16): zeros behind C and outside."""
    c = tl.arange(0, 16)[None, :]
    here = ((t >= 0) & (t < length))[:, None] & (c < C)
    block = block ^ (c & 1) if SWAP else block
    return tl.load(gradient + ((batch * blocks + block) * length + t[:, None]) * C + c, here, 0.0)


@triton.jit
def _to_scan(arriving, taps, weights, C: tl.constexpr, E: tl.constexpr):
    """The gradient to y of either direction, (T, E). A token's taps begin with itself, which its gate is of."""
    into_gate, out_of = gate_and_out(weights, C, E)
    return product(arriving, _transposed(out_of, E, 16)) * silu(product(taps, table(into_gate, TAPS * C, E)))


@triton.jit
def vim_local_gradient_kernel(
    tokens, weights, rates, gradient, local, elapsed, end, total, length, blocks,
    batch_stride, block_stride, half_stride,
    T: tl.constexpr, C: tl.constexpr, HALF: tl.constexpr, E: tl.constexpr, N: tl.constexpr,
    WEIGHTS: tl.constexpr, SPAN: tl.constexpr, SWAP: tl.constexpr,
):  # fmt: skip
    """`local`, `elapsed`, `end` and `total` of the gradient's scan, which runs against the scan; program (span, row).

    gradient: to the result of `vim_output_kernel`; the rest as `vim_local_kernel` takes it.
    """
    row, span = tl.program_id(1), tl.program_id(0)
    direction, block, batch = row % 2, row // 2 % blocks, (row // 2 // blocks).to(tl.int64)
    tokens += (batch * batch_stride + block * block_stride) * HALF
    weights += block * WEIGHTS
    tiles = tl.cdiv(length, T)
    spans = tl.cdiv(tiles, SPAN)
    e = tl.arange(0, E)
    at_state = tl.arange(0, N)[:, None] * E + e[None, :]
    decay_rates = tl.load(rates + (row % (2 * blocks)) * N * E + at_state)
    # Its own delta, too, is between a token's state and the state that enters its tile.
    ahead = (tl.arange(0, T)[:, None] >= tl.arange(0, T)[None, :]).to(tl.float32)
    state = tl.zeros((N, E), tl.float32)
    since = tl.zeros((E,), tl.float32)
    for tile in range(span * SPAN, tl.minimum(tiles, (span + 1) * SPAN)):
        at = row.to(tl.int64) * tiles + tile
        tl.store(local + at * N * E + at_state, state)
        tl.store(elapsed + at * E + e, since)
        step, taps = scan_positions(direction, tiles - 1 - tile, tiles, T)
        taps = load_taps(tokens, taps, length, half_stride, weights, C, HALF)
        _, _, delta, _, C_t = operands(taps, step < length, weights, direction, C, E, N)
        arriving = _arriving(gradient, batch, block, blocks, step, length, C, SWAP)
        state, passed = tile_end(state, _to_scan(arriving, taps, weights, C, E), C_t, delta, ahead, decay_rates)
        since += passed
    at = row.to(tl.int64) * spans + span
    tl.store(end + at * N * E + at_state, state)
    tl.store(total + at * E + e, since)


@triton.jit
def vim_scan_gradient_kernel(
    tokens, weights, rates, gradient, local, elapsed, carry, local_g, elapsed_g, carry_g,
    y, to_u, to_step, to_B, to_C, to_weights, to_rates, length, blocks, batch_stride, block_stride, half_stride, share,
    T: tl.constexpr, C: tl.constexpr, HALF: tl.constexpr, E: tl.constexpr, N: tl.constexpr,
    WEIGHTS: tl.constexpr, SPAN: tl.constexpr, SWAP: tl.constexpr,
):  # fmt: skip
    """y and gradients to the scan's operands: to u as far as it enters the scan, to delta before softplus, to B and C;
    and those to its rates and D; program (share of the tiles, row).

    y, to_u, to_step: (rows, L, E). to_B, to_C: (rows, L, N). share: tiles to a program. to_weights (B G, shares,
    WEIGHTS), to_rates (B G, shares, 2, N, E): each program's own.
    """
    row, part = tl.program_id(1), tl.program_id(0)
    direction, block, batch = row % 2, row // 2 % blocks, (row // 2 // blocks).to(tl.int64)
    tokens += (batch * batch_stride + block * block_stride) * HALF
    weights += block * WEIGHTS
    tiles = tl.cdiv(length, T)
    e, n = tl.arange(0, E), tl.arange(0, N)
    at_state = n[:, None] * E + e[None, :]
    decay_rates = tl.load(rates + (row % (2 * blocks)) * N * E + at_state)
    D = direct_weights(weights, direction, C, E, N)
    # As a matrix, it makes each row the one before, and the first one 0.
    before = (tl.arange(0, T)[:, None] == tl.arange(0, T)[None, :] + 1).to(tl.float32)
    sum_rates = tl.zeros((N, E), tl.float32)
    sum_D = tl.zeros((E,), tl.float32)
    for tile in range(part * share, tl.minimum(tiles, (part + 1) * share)):
        step, taps = scan_positions(direction, tile, tiles, T)
        inside = (step < length)[:, None]
        taps = load_taps(tokens, taps, length, half_stride, weights, C, HALF)
        u, before_softplus, delta, B_t, C_t = operands(taps, step < length, weights, direction, C, E, N)
        arriving = _arriving(gradient, batch, block, blocks, step, length, C, SWAP)
        dy = _to_scan(arriving, taps, weights, C, E)
        x = delta * u
        at = (row.to(tl.int64) * length + step[:, None]) * E + e[None, :]
        at_projection = (row.to(tl.int64) * length + step[:, None]) * N + n[None, :]

        # What is left at a token of the state before it: kept = decay h_before = decay (kept_before + x_before
        # B_before). Not h less the token's own part, which would cancel digits.
        entry = tile_entry(local, elapsed, carry, decay_rates, row, tile, tiles, SPAN)
        decay = tl.exp2(delta[:, None, :] * decay_rates[None])
        added = product(before, x)[:, None, :] * product(before, B_t)[:, :, None]
        kept = tile_states(entry, decay, decay * added)
        h = kept + x[:, None, :] * B_t[:, :, None]
        tl.store(to_C + at_projection, tl.sum(h * dy[:, None, :], 2), inside)
        tl.store(y + at, tl.sum(h * C_t[:, :, None], 1) + u * D[None, :], inside)

        # The gradient to h, from the tile's last token to its first: g = C dy + decay_after g_after. What enters
        # already has that decay.
        exit = tile_entry(local_g, elapsed_g, carry_g, decay_rates, row, tiles - 1 - tile, tiles, SPAN)
        decay_after = tl.exp2(product(before, flipped(delta, E))[:, None, :] * decay_rates[None])
        added = flipped(dy, E)[:, None, :] * flipped(C_t, N)[:, :, None]
        g = flipped(tile_states(exit, decay_after, added), N * E)
        tl.store(to_B + at_projection, tl.sum(g * x[:, None, :], 2), inside)
        dx = tl.sum(g * B_t[:, :, None], 1)
        exponent = g * kept  # gradient to delta * A
        to_delta = u * dx + tl.sum(exponent * decay_rates[None], 1) * LN_2
        tl.store(to_step + at, to_delta * _sigmoid(before_softplus), inside)
        tl.store(to_u + at, delta * dx + D[None, :] * dy, inside)
        sum_rates += tl.sum(exponent * delta[:, None, :], 0)
        sum_D += tl.sum(u * dy, 0)

    own = row // 2 * tl.num_programs(0) + part
    tl.store(to_rates + (2 * own + direction) * N * E + at_state, sum_rates * LN_2)
    _, _, _, _, _, _, at_D = direction_weights(to_weights + own.to(tl.int64) * WEIGHTS, direction, C, E, N)
    tl.store(at_D + e, sum_D)


@triton.jit
def vim_projection_gradient_kernel(
    tokens, weights, to_u, to_step, to_B, to_C, to_conv, to_weights, length, blocks,
    batch_stride, block_stride, half_stride, share,
    T: tl.constexpr, C: tl.constexpr, HALF: tl.constexpr, E: tl.constexpr, N: tl.constexpr, WEIGHTS: tl.constexpr,
):  # fmt: skip
    """The gradient to the convolution's result, (rows, L, E), and those to a direction's weights but D; program (share
    of the tiles, row). to_u, to_step, to_B, to_C: what `vim_scan_gradient_kernel` wrote.
    """
    row, part = tl.program_id(1), tl.program_id(0)
    direction, block, batch = row % 2, row // 2 % blocks, (row // 2 // blocks).to(tl.int64)
    tokens += (batch * batch_stride + block * block_stride) * HALF
    weights += block * WEIGHTS
    e, n = tl.arange(0, E), tl.arange(0, N)
    _, _, P, _, project_B, project_C, _ = direction_weights(weights, direction, C, E, N)
    sum_W = tl.zeros((TAPS * C, E), tl.float32)
    sum_P = tl.zeros((E, E), tl.float32)
    sum_B = tl.zeros((E, N), tl.float32)
    sum_C = tl.zeros((E, N), tl.float32)
    sum_conv = tl.zeros((E,), tl.float32)
    sum_step = tl.zeros((E,), tl.float32)
    for tile in range(part * share, tl.minimum(tl.cdiv(length, T), (part + 1) * share)):
        t = tile * T + tl.arange(0, T)
        inside = (t < length)[:, None]
        at_taps = t[:, None] - (1 - 2 * direction) * tl.arange(0, TAPS)[None, :]
        taps = load_taps(tokens, at_taps, length, half_stride, weights, C, HALF)
        convolved, u = convolution(taps, weights, direction, C, E, N)
        at = (row.to(tl.int64) * length + t[:, None]) * E + e[None, :]
        at_projection = (row.to(tl.int64) * length + t[:, None]) * N + n[None, :]
        d_step = tl.load(to_step + at, inside, 0.0)
        d_B = tl.load(to_B + at_projection, inside, 0.0)
        d_C = tl.load(to_C + at_projection, inside, 0.0)
        u = tl.trans(u)
        sum_P += product(u, d_step)
        sum_B += product(u, d_B)
        sum_C += product(u, d_C)
        d_u = tl.load(to_u + at, inside, 0.0) + product(d_step, _transposed(P, E, E))
        d_u += product(d_B, _transposed(project_B, E, N)) + product(d_C, _transposed(project_C, E, N))
        d_conv = d_u * _silu_slope(convolved)
        tl.store(to_conv + at, d_conv, inside)
        sum_W += product(tl.trans(taps), d_conv)
        sum_conv += tl.sum(d_conv, 0)
        sum_step += tl.sum(d_step, 0)

    own = to_weights + (row // 2 * tl.num_programs(0) + part).to(tl.int64) * WEIGHTS
    W, conv_bias, P, delta_bias, project_B, project_C, _ = direction_weights(own, direction, C, E, N)
    tl.store(W + tl.arange(0, TAPS * C)[:, None] * E + e[None, :], sum_W)
    tl.store(conv_bias + e, sum_conv)
    tl.store(P + e[:, None] * E + e[None, :], sum_P)
    tl.store(delta_bias + e, sum_step)
    tl.store(project_B + e[:, None] * N + n[None, :], sum_B)
    tl.store(project_C + e[:, None] * N + n[None, :], sum_C)


@triton.jit
def _through_convolution(
    to_conv, weights, row, direction, t, length, C: tl.constexpr, E: tl.constexpr, N: tl.constexpr
):
    """The gradient to the normalised tokens by way of the convolution's results whose taps they are, (T, 16)."""
    W, _, _, _, _, _, _ = direction_weights(weights, direction, C, E, N)
    c, e = tl.arange(0, 16)[None, :], tl.arange(0, E)
    summed = tl.zeros((t.shape[0], 16), tl.float32)
    for tap in range(TAPS):
        at = t + (1 - 2 * direction) * tap
        inside = ((at >= 0) & (at < length))[:, None]
        d_conv = tl.load(to_conv + (row.to(tl.int64) * length + at[:, None]) * E + e[None, :], inside, 0.0)
        summed += product(d_conv, tl.load(W + (tap * C + c) * E + e[:, None], c < C, 0.0))
    return summed


@triton.jit
def vim_token_gradient_kernel(
    tokens, weights, gradient, y, to_conv, to_tokens, to_weights, length, blocks,
    batch_stride, block_stride, half_stride, share,
    T: tl.constexpr, C: tl.constexpr, HALF: tl.constexpr, E: tl.constexpr, N: tl.constexpr,
    WEIGHTS: tl.constexpr, SWAP: tl.constexpr,
):  # fmt: skip
    """Gradients to the tokens, laid out as they are, and to the weights that both directions share; program (share of
    the tiles, (batch entry, block)). y, to_conv: what the kernels above wrote.
    """
    index, part = tl.program_id(1), tl.program_id(0)
    batch, block = (index // blocks).to(tl.int64), index % blocks
    first = (batch * batch_stride + block * block_stride) * HALF
    weights += block * WEIGHTS
    into_gate, out_of = gate_and_out(weights, C, E)
    c, e = tl.arange(0, 16), tl.arange(0, E)
    is_channel = (c < C)[:, None]
    at_gate = c[:, None] * E + e[None, :]
    scale = tl.load(weights + c, c < C, 0.0)
    shift = tl.load(weights + C + c, c < C, 0.0)
    sum_gate = tl.zeros((16, E), tl.float32)
    sum_out = tl.zeros((E, 16), tl.float32)
    sum_scale = tl.zeros((16,), tl.float32)
    sum_shift = tl.zeros((16,), tl.float32)
    for tile in range(part * share, tl.minimum(tl.cdiv(length, T), (part + 1) * share)):
        t = tile * T + tl.arange(0, T)
        inside = (t < length)[:, None]
        here = inside & (c < C)[None, :]
        at = first + (t[:, None] + (c // HALF * half_stride)[None, :]) * HALF + (c % HALF)[None, :]
        token = tl.load(tokens + at, here, 0.0)
        centred = tl.where(here, token - (tl.sum(token, 1) / C)[:, None], 0.0)
        per_deviation = tl.rsqrt(tl.sum(centred * centred, 1) / C + 1e-5)[:, None]
        standard = centred * per_deviation
        normalised = tl.where(here, standard * scale[None, :] + shift[None, :], 0.0)

        arriving = _arriving(gradient, batch, block, blocks, t, length, C, SWAP)
        to_gate = tl.load(into_gate + at_gate, is_channel, 0.0)
        gate = product(normalised, to_gate)
        scanned = tl.zeros((T, E), tl.float32)
        for direction in range(2):
            row = (2 * index + direction).to(tl.int64)
            scanned += tl.load(y + (row * length + t[:, None]) * E + e[None, :], inside, 0.0)
        sum_out += product(tl.trans(scanned * silu(gate)), arriving)
        d_gate = product(arriving, _transposed(out_of, E, 16)) * scanned * _silu_slope(gate)
        sum_gate += product(tl.trans(normalised), d_gate)

        d_normalised = product(d_gate, tl.trans(to_gate))
        for direction in range(2):
            d_normalised += _through_convolution(to_conv, weights, 2 * index + direction, direction, t, length, C, E, N)
        sum_scale += tl.sum(d_normalised * standard, 0)
        sum_shift += tl.sum(tl.where(inside, d_normalised, 0.0), 0)
        d_standard = d_normalised * scale[None, :]
        along = tl.sum(d_standard * standard, 1)[:, None] * standard + tl.sum(d_standard, 1)[:, None]
        tl.store(to_tokens + at, arriving + per_deviation * (d_standard - along / C), here)

    own = to_weights + (index * tl.num_programs(0) + part).to(tl.int64) * WEIGHTS
    into_gate, out_of = gate_and_out(own, C, E)
    tl.store(own + c, sum_scale, c < C)
    tl.store(own + C + c, sum_shift, c < C)
    tl.store(into_gate + at_gate, sum_gate, is_channel)
    tl.store(out_of + e[:, None] * 16 + c[None, :], sum_out)
