"""The command `tpf-train`: one verb a file of `commands`."""

import sys

from tpf_training.verbs import verb_parser

VERBS = {
    "distill": "distil the fusion adapter from several fusion networks (MAD): the first phase",
    "finetune": "fine-tune a tracker on the task, with decoupled representations (DRF): the second phase",
    "export": "write the weights of a run, or the mean of several, as the one file a tracker loads, and a model card",
    "ablate": "train variants of one configuration with several seeds each, and print the table of their scores",
}


def main(arguments: list[str] | None = None) -> None:
    """Exit status 1 with one line on what is wrong where a file or a value cannot be used."""
    arguments = sys.argv[1:] if arguments is None else arguments
    description = "Train the weights of the RGB-thermal tracker TPF."
    parser = verb_parser("tpf-train", description, "tpf_training.commands", VERBS, arguments)
    args, rest = parser.parse_known_args(arguments)
    # argparse takes key=value only in one row: here some stand behind an option.
    if not hasattr(args, "overrides") or any(text.startswith("-") for text in rest):
        parser.parse_args(arguments)
    else:
        args.overrides += rest
    from tpf_training.errors import USER_ERRORS  # with PyTorch behind it, for which help does not wait

    try:
        args.run(args)
    except USER_ERRORS as error:
        sys.exit(f"tpf-train {args.verb}: {error}")


if __name__ == "__main__":
    main()
