"""What is the user's to mend: errors that a command tells in one line."""

from tpf_model.weights import WeightsError
from tpf_training.config import ConfigError
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.mad.experts import ExpertError

USER_ERRORS = (ConfigError, DatasetError, EvaluationError, ExpertError, WeightsError, FileExistsError)
