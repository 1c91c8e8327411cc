import copy

import torch
from torch.nn import functional

import tpf_model.vim as module
from tpf_model.selective_scan import selective_scan
from tpf_model.vim import ViMBlock


def block(dim=8, **options):
    torch.manual_seed(0)
    return ViMBlock(dim, **options)


def test_parameter_counts():
    assert sum(p.numel() for p in ViMBlock(8).parameters()) == 2208 + 16
    assert sum(p.numel() for p in ViMBlock(16).parameters()) == 5184 + 32


def test_reversing_the_tokens_swaps_the_directions():
    forward = block()
    backward = copy.deepcopy(forward)
    for name, value in backward.named_parameters():
        if not name.startswith(("norm", "in_proj", "out_proj")):
            value.data = value.data.view(2, -1).flip(0).view_as(value)
    tokens = torch.randn(2, 50, 8)
    torch.testing.assert_close(backward(tokens.flip(1)).flip(1), forward(tokens))


def test_every_token_reaches_every_other():
    tokens = torch.randn(1, 40, 8, requires_grad=True)
    y = block()(tokens)
    for read, changed in ((0, 39), (39, 0)):
        (gradient,) = torch.autograd.grad(y[0, read].sum(), tokens, retain_graph=True)
        assert gradient[0, changed].abs().max() > 0, f"token {changed} does not reach token {read}"


def test_matches_the_equations_written_out_one_direction_at_a_time():
    vim = block(dim=16, states=4).double()
    tokens = torch.randn(2, 21, 16, dtype=torch.float64)
    x, gate = vim.in_proj(vim.norm(tokens)).chunk(2, dim=-1)  # (B, L, E)
    total = 0
    for direction in (0, 1):
        rows = slice(32 * direction, 32 * (direction + 1))
        sequence = (x.flip(1) if direction else x).transpose(1, 2)
        padded = functional.pad(sequence, (3, 0))
        taps = (vim.conv.weight[rows, 0, k, None] * padded[..., k : k + 21] for k in range(4))
        sequence = functional.silu(sum(taps) + vim.conv.bias[rows, None])
        dt, B, C = (vim.x_proj[direction] @ sequence).split([1, 4, 4], dim=1)
        dt = torch.log1p(torch.exp(vim.dt_proj[direction] @ dt + vim.dt_bias[rows, None]))
        y = selective_scan(sequence, dt, -vim.A_log[rows].exp(), B, C, vim.D[rows], "reference").transpose(1, 2)
        total = total + (y.flip(1) if direction else y)
    expected = tokens + vim.out_proj(total * functional.silu(gate))
    torch.testing.assert_close(vim(tokens), expected, rtol=1e-5, atol=1e-6)


def test_steps_and_state_keep_float32_under_bfloat16_autocast(monkeypatch):
    calls = []

    def recorded(*operands):
        calls.append([*operands[:-1], selective_scan(*operands)])
        return calls[-1][-1]

    monkeypatch.setattr(module, "selective_scan", recorded)
    vim = block()
    with torch.autocast("cpu", torch.bfloat16):
        vim(torch.randn(1, 500, 8))
    u, delta, A, B, C, D, y = calls[0]
    dt, exact_B, exact_C = (vim.x_proj @ u.unflatten(1, (2, 16))).split([1, 16, 16], dim=2)
    exact_delta = functional.softplus((vim.dt_proj @ dt).flatten(1, 2) + vim.dt_bias[:, None])
    for actual, expected in ((delta, exact_delta), (B, exact_B), (C, exact_C)):
        torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(y, selective_scan(u.double(), delta, A, B, C, D, "reference").float())


def test_initial_steps_and_rates_are_mambas():
    vim = block()
    steps = functional.softplus(vim.dt_bias)
    assert 0.001 <= steps.min() and steps.max() <= 0.1
    torch.testing.assert_close(vim.A_log.exp(), torch.arange(1.0, 17.0).expand(32, 16))
