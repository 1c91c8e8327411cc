"""What MambaDFuse's checkout takes from mamba_ssm and causal_conv1d, on this project's selective scan."""

from types import ModuleType

from torch import Tensor
from torch.nn import functional

from tpf_model.selective_scan import selective_scan


def mamba_ssm_modules() -> dict[str, ModuleType]:
    """Stand-ins for the modules of both packages, to be imported in their place."""
    names = ("mamba_ssm", "mamba_ssm.modules", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface")
    modules = {name: ModuleType(name) for name in names}
    for name in names[:3]:
        modules[name].__path__ = []
    interface = modules[names[3]]
    interface.mamba_inner_fn, interface.mamba_inner_fn_no_out_proj = mamba_inner, mamba_inner_no_out_proj
    # Imported with the others, for types of blocks that MambaDFuse has none of.
    interface.selective_scan_fn = interface.bimamba_inner_fn = None
    convolution = modules["causal_conv1d"] = ModuleType("causal_conv1d")
    convolution.causal_conv1d_fn = convolution.causal_conv1d_update = None
    return modules


def mamba_inner(xz, conv, conv_bias, x_proj, dt_proj, out_proj, out_bias, A, B, C, D, **options) -> Tensor:
    """A whole Mamba block after its in-projection: xz (B, 2 D, L) -> (B, L, C)."""
    y = mamba_inner_no_out_proj(xz, conv, conv_bias, x_proj, dt_proj, A, B, C, D, **options)
    return functional.linear(y.transpose(1, 2), out_proj, out_bias)


def mamba_inner_no_out_proj(
    xz: Tensor,
    conv: Tensor,
    conv_bias: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    A: Tensor,
    B: None,
    C: None,
    D: Tensor,
    delta_bias: Tensor,
    delta_softplus: bool,
) -> Tensor:
    """Causal convolution, input-dependent scan and gate of a Mamba block: xz (B, 2 D, L) -> (B, D, L).

    Only the case that MambaDFuse uses: B and C are computed from the input, the step sizes pass a softplus.
    """
    if B is not None or C is not None or not delta_softplus:
        raise ValueError("only input-dependent B and C and softplus step sizes are supported")
    x, z = xz.chunk(2, dim=1)
    channels, tokens = x.shape[1:]
    x = functional.conv1d(x, conv, conv_bias, padding=conv.shape[-1] - 1, groups=channels)[..., :tokens]
    x = functional.silu(x)
    rank, states = dt_proj.shape[1], A.shape[1]
    dt, B, C = functional.linear(x.transpose(1, 2), x_proj).split([rank, states, states], dim=-1)
    delta = functional.softplus(functional.linear(dt, dt_proj, delta_bias)).transpose(1, 2)
    y = selective_scan(x, delta, A, B.transpose(1, 2), C.transpose(1, 2), D)
    return y * functional.silu(z)
