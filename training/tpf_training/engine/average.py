"""The exponential moving average of a network's weights, which is what is exported."""

import pytorch_lightning as lightning
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(lightning.Callback):
    """Follows `module.learner` with `decay`; `learner` afterwards holds the averaged copy. Saved in checkpoints."""

    def __init__(self, decay: float):
        self._decay = decay
        self._average: AveragedModel | None = None
        self._restored: dict | None = None

    @property
    def learner(self):
        return self._average.module

    def on_fit_start(self, trainer, module) -> None:
        self._average = AveragedModel(module.learner, multi_avg_fn=get_ema_multi_avg_fn(self._decay), use_buffers=True)
        if self._restored is not None:
            self._average.load_state_dict(self._restored)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:
        self._average.update_parameters(module.learner)

    def state_dict(self) -> dict:
        return self._average.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self._restored = state
