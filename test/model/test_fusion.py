import pytest
import torch

from tpf_model.fusion import AdditionFusion, PixelFusionAdapter, swap_channels
from tpf_model.selective_scan import ScanBackendError


def images(height=24, width=32, batch=1):
    torch.manual_seed(0)
    return torch.rand(batch, 3, height, width), torch.rand(batch, 1, height, width).expand(-1, 3, -1, -1)


def trained(stride=1, **options):
    """An adapter whose decoder is no longer zero."""
    torch.manual_seed(0)
    adapter = PixelFusionAdapter(stride, **options)
    torch.nn.init.normal_(adapter.decoder.weight, std=0.1)
    return adapter


def without_scans(adapter):
    """The adapter with only the residual path through its ViM blocks left."""
    for block in (adapter.visible_block, adapter.thermal_block, adapter.token_block, adapter.channel_block):
        torch.nn.init.zeros_(block.out_proj.weight)
    return adapter


def test_published_parameter_count():
    assert sum(p.numel() for p in PixelFusionAdapter().parameters()) == 14_307


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_untrained_adapter_is_addition(stride):
    visible, thermal = images()
    torch.testing.assert_close(PixelFusionAdapter(stride)(visible, thermal), AdditionFusion()(visible, thermal))


def test_addition_is_the_mean_and_has_no_parameters():
    visible, thermal = images()
    torch.testing.assert_close(AdditionFusion()(visible, thermal), 0.5 * visible + 0.5 * thermal)
    assert not list(AdditionFusion().parameters())


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("size", [(24, 32), (23, 33), (5, 1)])
def test_any_image_size_keeps_its_size(stride, size):
    assert trained(stride)(*images(*size, batch=2)).shape == (2, 3, *size)


@pytest.mark.parametrize("stride", [1, 4])
def test_every_pixel_of_both_images_reaches_both_ends_of_the_fused_image(stride):
    visible, thermal = images()
    visible, thermal = visible.requires_grad_(), thermal.clone().requires_grad_()
    fused = trained(stride)(visible, thermal)
    for row, column in ((0, 0), (-1, -1)):
        gradients = torch.autograd.grad(fused[0, :, row, column].sum(), (visible, thermal), retain_graph=True)
        for name, gradient in zip(("visible", "thermal"), gradients):
            assert (gradient.abs().sum(1) > 0).all(), f"{name} pixels that do not reach {row, column}"


@pytest.mark.parametrize("stride", [1, 4])
def test_the_residual_lies_where_its_pixels_are(stride):
    """Tokens that see nothing but their neighbourhood must decode to the same place, not beside it."""
    adapter = without_scans(trained(stride))
    visible, thermal = images(32, 32)
    changed = visible.clone()
    changed[..., 16:20, 12:16] += 1
    rows, columns = torch.where((adapter(changed, thermal) - adapter(visible, thermal))[0, 0].abs() > 1e-6)
    assert (rows.min() + rows.max()).item() / 2 == pytest.approx(17.5, abs=stride / 2)
    assert (columns.min() + columns.max()).item() / 2 == pytest.approx(13.5, abs=stride / 2)


def test_every_second_channel_comes_from_the_other_image():
    adapter = without_scans(trained())
    visible, thermal = (image.clone().requires_grad_() for image in images())
    for channel in range(16):
        weight = torch.zeros_like(adapter.decoder.weight)
        weight[:, channel] = 1
        with torch.no_grad():
            adapter.decoder.weight.copy_(weight)
        residual = adapter(visible, thermal) - AdditionFusion()(visible, thermal)
        gradients = torch.autograd.grad(residual.sum(), (visible, thermal))
        from_thermal = (channel >= 8) != (channel % 2 == 1)
        assert [g.abs().max() > 1e-4 for g in gradients] == [not from_thermal, from_thermal], f"channel {channel}"


def test_all_parameters_learn():
    adapter = trained(4)
    adapter(*images(batch=2)).square().sum().backward()
    for name, parameter in adapter.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_flat_images_stay_finite(value):
    flat = torch.full((1, 3, 16, 16), value)
    assert trained()(flat, flat).isfinite().all()


def test_same_images_alone_and_in_a_batch():
    visible, thermal = images(batch=3)
    adapter = trained(2)
    with torch.no_grad():
        together = adapter(visible, thermal)
        alone = torch.cat([adapter(v[None], t[None]) for v, t in zip(visible, thermal)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_swap_exchanges_every_second_channel_and_is_its_own_inverse():
    a, b = torch.zeros(1, 2, 4), torch.ones(1, 2, 4)
    swapped = swap_channels(a, b)
    assert swapped[0][0, 0].tolist() == [0, 1, 0, 1]
    assert swapped[1][0, 0].tolist() == [1, 0, 1, 0]
    assert all(torch.equal(x, y) for x, y in zip(swap_channels(*swapped), (a, b)))


def test_scan_backend_is_chosen_by_the_caller():
    visible, thermal = images(8, 8)
    torch.testing.assert_close(
        trained(scan="reference")(visible, thermal),
        trained(scan="blocked")(visible, thermal),
        rtol=1e-5,
        atol=1e-5,
    )
    with pytest.raises(ScanBackendError, match="mamba"):
        trained(scan="mamba")(visible, thermal)


@pytest.mark.parametrize("stride", [0, 3, 8])
def test_unknown_stride_is_an_error(stride):
    with pytest.raises(ValueError, match="token_stride is"):
        PixelFusionAdapter(stride)
