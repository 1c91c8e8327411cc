"""The command `tpf-eval`: one verb a module, which has `add_arguments(parser)` and `run(args) -> exit status`."""

import sys

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.verbs import verb_parser

VERBS = {
    "run": "one of our trackers over a data set, to result files as LasHeR's toolkit reads them, and their scores",
    "score": "result files against a benchmark's true boxes, by its own rules",
    "plot": "figures of result files: curves, attributes, speed against accuracy",
    "report": "a page about one run: scores, figures, the worst sequences in pictures",
    "compare": "our trackers and others' on labelled clips, side by side",
    "speed": "what a frame costs by each model and runtime: time, stages, operations, memory",
    "fusion": "fused images by EN, SF, MI, MSE, PSNR and SSIM",
    "gap": "how far apart an encoder's visible and thermal features are, by layer",
    "features": "fused images, feature maps and score maps as pictures",
}
INTERRUPTED = 130  # the shell's exit status for SIGINT


def main(arguments: list[str] | None = None) -> int:
    """Run `tpf-eval`; returns the exit status.

    0 done, 1 done as far as the input allowed, 2 unusable arguments or input, or results that cannot be written, 130
    interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    description = "Evaluate trackers on visible and thermal video."
    args = verb_parser("tpf-eval", description, "tpf_training.evaluation", VERBS, arguments).parse_args(arguments)
    try:
        return args.run(args)
    except (DatasetError, EvaluationError, OSError) as error:  # OSError: a full disk, a read-only folder
        print(f"tpf-eval {args.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"tpf-eval {args.verb}: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
