"""Fusion experts: each kind opens and fuses, and what is missing or wrong is told."""

import sys
import textwrap

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tpf_training.datasets.record import DatasetError
from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts import ExpertError, open_expert
from tpf_training.mad.experts.mamba_kernels import mamba_inner, mamba_inner_no_out_proj

VISIBLE = np.random.default_rng(0).integers(0, 256, (13, 21, 3), dtype=np.uint8)
THERMAL = np.random.default_rng(1).integers(0, 256, (13, 21), dtype=np.uint8)
LUMINANCE = cv2.cvtColor(VISIBLE, cv2.COLOR_RGB2GRAY)
MEAN = np.rint((LUMINANCE.astype(float) + THERMAL) / 2)


class Blend(nn.Module):
    def __init__(self, share: float = 0.5, scale: float = 1.0):
        super().__init__()
        self.share, self.scale = share, scale

    def forward(self, visible, thermal):
        return (self.share * visible + (1 - self.share) * thermal) * self.scale


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    return root


def fuse(expert):
    return expert.fuse(VISIBLE, THERMAL, "set/one")


def test_a_wrong_configuration_is_told_with_what_would_be_right(tmp_path):
    with pytest.raises(ValueError, match="'a': kind has an unknown name 'cdd_fuse'; did you mean 'cddfuse'"):
        ExpertConfig("a", "cdd_fuse", tmp_path)
    with pytest.raises(ValueError, match="'a/b' must be usable as a folder's name"):
        ExpertConfig("a/b", "folder", tmp_path)
    with pytest.raises(ValueError, match="'a': kind 'onnx' takes no weights"):
        ExpertConfig("a", "onnx", tmp_path, tmp_path)


@pytest.mark.parametrize("place, pattern", [("fused/set", "fused"), ("set/experts/a", "{set}/experts/a")])
def test_a_folder_gives_the_image_of_the_pairs_name(tmp_path, place, pattern):
    (tmp_path / place).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / place / "one.png"), THERMAL)
    expert = open_expert(ExpertConfig("a", "folder", tmp_path / pattern))
    np.testing.assert_array_equal(fuse(expert), THERMAL)
    with pytest.raises(DatasetError, match="two.png: expert 'a' has no image of pair 'set/two'"):
        expert.fuse(VISIBLE, THERMAL, "set/two")
    with pytest.raises(DatasetError, match="one.png: is 21x13, its pair is 21x12"):
        expert.fuse(VISIBLE[1:], THERMAL[1:], "set/one")
    with pytest.raises(ExpertError, match="'a': .*nowhere: no such folder"):
        open_expert(ExpertConfig("a", "folder", tmp_path / "nowhere/{set}"))


def test_a_torchscript_file_fuses(tmp_path):
    path = tmp_path / "blend.pt"
    torch.jit.script(Blend(0.75)).save(path)
    expert = open_expert(ExpertConfig("a", "torchscript", path))
    assert np.abs(fuse(expert) - (0.75 * LUMINANCE + 0.25 * THERMAL)).max() < 0.51
    first = expert.fingerprint
    torch.jit.script(Blend(0.5)).save(path)
    assert open_expert(ExpertConfig("a", "torchscript", path)).fingerprint != first


def test_a_torchscript_file_that_is_no_expert_is_told(tmp_path):
    path = tmp_path / "one.pt"
    with pytest.raises(ExpertError, match="'a': .*one.pt: no such file"):
        open_expert(ExpertConfig("a", "torchscript", path))
    path.write_bytes(b"broken")
    with pytest.raises(ExpertError, match="'a': .*one.pt: not a usable TorchScript file"):
        open_expert(ExpertConfig("a", "torchscript", path))
    torch.jit.script(nn.Sigmoid()).save(path)
    with pytest.raises(ExpertError, match=r"forward takes \['input'\], must take visible and thermal"):
        open_expert(ExpertConfig("a", "torchscript", path))


@pytest.mark.parametrize(
    "network, message",
    [
        (Blend(scale=255.0), r"'a', pair 'set/one': the output ranges from .* to .*, must be in \[0, 1\]"),
        (Blend(scale=float("nan")), "ranges from nan to nan"),
        (nn.Bilinear(21, 21, 3), r"the output is \(1, 1, 13, 3\), must be \(1, 1, 13, 21\)"),
    ],
)
def test_an_output_by_another_convention_is_told(tmp_path, network, message):
    torch.jit.script(network).save(tmp_path / "x.pt")
    with pytest.raises(ExpertError, match=message):
        fuse(open_expert(ExpertConfig("a", "torchscript", tmp_path / "x.pt")))


def write_onnx(path, inputs=("visible", "thermal"), size=("h", "w"), kind=None):
    kind = kind or onnx.TensorProto.FLOAT
    values = [onnx.helper.make_tensor_value_info(name, kind, [1, 1, *size]) for name in (*inputs, "fused")]
    node = onnx.helper.make_node("Max", list(inputs), ["fused"])
    graph = onnx.helper.make_graph([node], "g", values[:-1], values[-1:])
    # An older format, because onnxruntime's newest one follows that of onnx by months.
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return ExpertConfig("a", "onnx", path)


def test_an_onnx_file_fuses(tmp_path):
    for inputs in (("visible", "thermal"), ("thermal", "visible")):
        fused = fuse(open_expert(write_onnx(tmp_path / "x.onnx", inputs)))
        np.testing.assert_array_equal(fused, np.maximum(LUMINANCE, THERMAL))


def test_an_onnx_file_is_another_where_its_weights_beside_it_are(tmp_path):
    def write_beside(share):
        names = "visible", "thermal", "fused"
        images = [onnx.helper.make_tensor_value_info(name, 1, [1, 1, "h", "w"]) for name in names]
        nodes = [onnx.helper.make_node("Mul", ["visible", "share"], ["part"])]
        nodes.append(onnx.helper.make_node("Max", ["part", "thermal"], ["fused"]))
        weights = [onnx.numpy_helper.from_array(np.array([share], np.float32), "share")]
        graph = onnx.helper.make_graph(nodes, "g", images[:2], images[2:], weights)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        folder = tmp_path / str(share)
        folder.mkdir()
        beside = {"save_as_external_data": True, "location": "x.onnx.data", "size_threshold": 0}
        onnx.save_model(model, folder / "x.onnx", **beside)
        return folder / "x.onnx"

    paths = write_beside(1.0), write_beside(0.5)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    whole, half = (open_expert(ExpertConfig("a", "onnx", path)) for path in paths)
    assert (fuse(whole) != fuse(half)).any() and whole.fingerprint != half.fingerprint
    (paths[0].parent / "notes.txt").write_text("no part of it")
    assert open_expert(ExpertConfig("a", "onnx", paths[0])).fingerprint == whole.fingerprint


def test_an_onnx_file_that_is_no_expert_is_told(tmp_path):
    path = tmp_path / "x.onnx"
    with pytest.raises(ExpertError, match=r"inputs \['a', 'b'\] .* must have the inputs visible and thermal"):
        open_expert(write_onnx(path, ("a", "b")))
    with pytest.raises(ExpertError, match=r"visible is tensor\(double\) .* must be \(1, 1, H, W\) float32"):
        open_expert(write_onnx(path, kind=11))
    with pytest.raises(ExpertError, match=r"visible takes \[1, 1, 64, 64\] only, not \[1, 1, 13, 21\]"):
        fuse(open_expert(write_onnx(path, size=(64, 64))))
    path.write_bytes(b"broken")
    with pytest.raises(ExpertError, match="'a': .*x.onnx: not a usable ONNX file"):
        open_expert(ExpertConfig("a", "onnx", path))


# The upstream repositories' interfaces, with next to nothing behind them.
CDDFUSE = {
    "net.py": """
        import torch
        from torch import nn
        from utils import NAME
        class Restormer_Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.gain = nn.Parameter(torch.zeros(1))
            def forward(self, x):
                return x * self.gain, x * 0, x
        class BaseFeatureExtraction(nn.Identity):
            pass
        class DetailFeatureExtraction(nn.Identity):
            pass
        class Restormer_Decoder(nn.Identity):
            def forward(self, image, base, detail):
                return base + detail, None
        """,
    "utils.py": "NAME = 'upstream'",
}
DIFF_IF = {
    "model/__init__.py": "",
    "model/diffif_modules/diffusion.py": """
        import torch
        from torch import nn
        class GaussianDiffusion(nn.Module):
            def __init__(self, denoise_fn, refinement_fn, image_size, conditional):
                super().__init__()
                self.denoise_fn, self.refinement_fn = denoise_fn, refinement_fn
            def set_new_noise_schedule(self, schedule, device):
                self.register_buffer("betas", torch.linspace(0, 1, schedule["n_timestep"]))
            def super_resolution_ddim(self, images):
                assert images["vis"].shape[2] % 8 == 0 and images["vis"].shape[3] % 8 == 0
                assert -1 <= images["vis"].min() < -0.9
                noise = 0.001 * torch.randn_like(images["vis"])
                return (self.denoise_fn((images["vis"] + images["ir"]) / 2) + noise)[-1], None, None
        """,
    "model/diffif_modules/unet.py": """
        from torch import nn
        class UNet(nn.Conv2d):
            def __init__(self, in_channel, out_channel, **others):
                super().__init__(1, 1, 1, bias=False)
        """,
    "model/diffif_modules/finetune_arch.py": """
        from torch import nn
        class Restormer_fn(nn.Identity):
            def __init__(self, in_channel, out_channel):
                super().__init__()
        """,
}
MAMBADFUSE = {
    "mamba_simple.py": """
        from torch import nn
        from causal_conv1d import causal_conv1d_fn, causal_conv1d_update
        from mamba_ssm.ops.selective_scan_interface import mamba_inner_fn, mamba_inner_fn_no_out_proj
        class Mamba(nn.Identity):
            pass
        """,
    "models/network.py": """
        from torch import nn
        from mamba_ssm.modules.mamba_simple import Mamba
        class MambaDFuse(nn.Module):
            def __init__(self, in_chans, img_size, window_size, img_range, embed_dim):
                super().__init__()
                self.mix = nn.Conv2d(2, 1, 1, bias=False)
                self.block = Mamba()
            def forward(self, A, B):
                assert A.shape[2] % 8 == 0 and A.shape[3] % 8 == 0
                return self.mix(self.block(__import__("torch").cat([A, B], dim=1)))
        """,
}


def half(*shape):
    return torch.full(shape, 0.5)


CHECKOUTS = {
    "cddfuse": (
        CDDFUSE,
        "models/CDDFuse_IVF.pth",
        {"DIDF_Encoder": {"module.gain": half(1)}, "DIDF_Decoder": {}, "BaseFuseLayer": {}, "DetailFuseLayer": {}},
        (MEAN - MEAN.min()) / (MEAN.max() - MEAN.min()) * 255,
    ),
    "diff_if": (
        DIFF_IF,
        "weights/IVF_weights_gen.pth",
        {"betas": torch.linspace(0, 1, 1000), "denoise_fn.weight": torch.ones(1, 1, 1, 1)},
        MEAN,
    ),
    "mambadfuse": (
        MAMBADFUSE,
        "Model/Infrared_Visible_Fusion/Infrared_Visible_Fusion/models/10000_E.pth",
        {"params": {"mix.weight": torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)}},  # thermal comes first
        0.25 * THERMAL + 0.75 * LUMINANCE,
    ),
}


def make_checkout(tmp_path, kind):
    files, weights, state, fused = CHECKOUTS[kind]
    root = write(tmp_path / kind, files)
    (root / weights).parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, root / weights)
    return ExpertConfig("a", kind, root), root / weights, fused


@pytest.mark.parametrize("kind", CHECKOUTS)
def test_a_checkout_fuses_and_leaves_no_trace(tmp_path, kind, monkeypatch):
    config, weights, fused = make_checkout(tmp_path, kind)
    ours = type(sys)("utils")
    monkeypatch.setitem(sys.modules, "utils", ours)
    before, path = set(sys.modules), list(sys.path)
    expert = open_expert(config)
    assert np.abs(fuse(expert) - fused).max() < 2
    np.testing.assert_array_equal(fuse(expert), fuse(open_expert(config)))
    assert set(sys.modules) == before and sys.path == path and sys.modules["utils"] is ours
    assert not list(config.path.rglob("__pycache__"))
    other = weights.rename(tmp_path / "other.pth")
    assert fuse(open_expert(ExpertConfig("a", kind, config.path, other))).shape == THERMAL.shape


@pytest.mark.parametrize("kind", CHECKOUTS)
def test_what_a_checkout_lacks_is_told(tmp_path, kind):
    with pytest.raises(ExpertError, match="'a': no checkout at .*nowhere: git clone https://github.com/"):
        open_expert(ExpertConfig("a", kind, tmp_path / "nowhere"))
    config, weights, _ = make_checkout(tmp_path, kind)
    source = next(config.path / name for name in CHECKOUTS[kind][0] if "__init__" not in name)
    text = source.read_text()
    source.unlink()
    with pytest.raises(ExpertError, match=f"'a': .*{source.name} is missing: .* is no checkout of https"):
        open_expert(config)
    source.write_text(f"import not_installed_here\n{text}")
    with pytest.raises(ExpertError, match="'a': .* needs the Python package 'not_installed_here'"):
        open_expert(config)
    source.write_text(text)
    torch.save({"other": {}}, weights)
    with pytest.raises(ExpertError, match=f"'a': .*{weights.name}.* (lacks|does not fit)"):
        open_expert(config)
    weights.write_bytes(b"broken")
    with pytest.raises(ExpertError, match=f"'a': cannot read the weights .*{weights.name}"):
        open_expert(config)
    weights.unlink()
    with pytest.raises(ExpertError, match=f"'a': no weights at .*{weights.name}"):
        open_expert(config)


def test_the_stand_in_for_mamba_ssm_computes_its_block_token_by_token():
    torch.manual_seed(0)
    channels, states, rank, tokens = 6, 4, 2, 11
    xz, conv, bias = torch.randn(2, 2 * channels, tokens), torch.randn(channels, 1, 4), torch.randn(channels)
    x_proj, dt_proj = torch.randn(rank + 2 * states, channels) / 3, torch.randn(channels, rank)
    A, D, dt_bias = -torch.rand(channels, states), torch.randn(channels), torch.randn(channels)
    out = torch.randn(3, channels)
    arguments = (xz, conv, bias, x_proj, dt_proj)
    y = mamba_inner_no_out_proj(*arguments, A, None, None, D, delta_bias=dt_bias, delta_softplus=True)

    x, z = xz.double().chunk(2, dim=1)
    past, state = torch.cat([torch.zeros(2, channels, 3), x], dim=2), torch.zeros(2, channels, states)
    for t in range(tokens):
        u = nn.functional.silu((past[:, :, t : t + 4] * conv[:, 0]).sum(2) + bias)
        dt, B, C = (u @ x_proj.T.double()).split([rank, states, states], dim=1)
        delta = nn.functional.softplus(dt @ dt_proj.T.double() + dt_bias)
        state = state * torch.exp(delta[..., None] * A) + (delta * u)[..., None] * B[:, None]
        expected = ((state * C[:, None]).sum(2) + D * u) * nn.functional.silu(z[:, :, t])
        torch.testing.assert_close(y[:, :, t].double(), expected, atol=1e-5, rtol=1e-4)
    whole = mamba_inner(*arguments, out, None, A, None, None, D, delta_bias=dt_bias, delta_softplus=True)
    torch.testing.assert_close(whole, y.transpose(1, 2) @ out.T)
