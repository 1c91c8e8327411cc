"""What fused images are judged by without a true one: of (H, W) uint8 luminance, the fused and the sources'.

Publications differ in these measures' details, and some programs in use differ from their publication: each file says
what it computes. `MEASURES` is all of them, as tables show them.
"""

from collections.abc import Callable

import numpy as np

from tpf_training.evaluation.fusion_metrics.entropy import entropy
from tpf_training.evaluation.fusion_metrics.mutual_information import mutual_information
from tpf_training.evaluation.fusion_metrics.spatial_frequency import spatial_frequency
from tpf_training.evaluation.fusion_metrics.squared_error import mean_squared_error, peak_signal_to_noise
from tpf_training.evaluation.fusion_metrics.structural_similarity import structural_similarity


def _from_visible_and_thermal(measure: Callable[[np.ndarray, np.ndarray], float]) -> Callable[..., float]:
    return lambda fused, visible, thermal: (measure(fused, visible) + measure(fused, thermal)) / 2


# Each of (fused, visible, thermal). The ratio of PSNR is taken of the mean error, as in Ma, Ma and Li (2019).
MEASURES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "EN": lambda fused, visible, thermal: entropy(fused),
    "SF": lambda fused, visible, thermal: spatial_frequency(fused),
    "MI": lambda fused, visible, thermal: mutual_information(fused, visible) + mutual_information(fused, thermal),
    "MSE": _from_visible_and_thermal(mean_squared_error),
    "PSNR": lambda fused, *sources: peak_signal_to_noise(MEASURES["MSE"](fused, *sources)),
    "SSIM": _from_visible_and_thermal(structural_similarity),
}
DEFINITIONS = """\
All of 8-bit luminance (BT.601: 0.299 R + 0.587 G + 0.114 B, rounded); F fused, V visible, T thermal.
EN: entropy of F's grey levels, bits. SF: spatial frequency of F (Eskicioglu and Fisher, 1995), grey levels.
MI: I(F, V) + I(F, T) of grey levels (Qu et al., 2002), bits; CDDFuse's and VIFB's are in nats: 0.693 of it.
MSE: mean of MSE(F, V) and MSE(F, T). PSNR: 10 log10(255^2 / that MSE), dB (Ma, Ma and Li, 2019).
SSIM: mean of SSIM(F, V) and SSIM(F, T), Gaussian window of 11 pixels, sigma 1.5 (Wang et al., 2004); VIFB and CDDFuse \
give the sum."""
