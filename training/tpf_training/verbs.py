"""Commands with verbs, one a module that has `add_arguments(parser)` and `run(args)`."""

import argparse
import importlib


def verb_parser(
    command: str, description: str, package: str, verbs: dict[str, str], arguments: list[str]
) -> argparse.ArgumentParser:
    """The parser of `command`. verbs: by name, what each does; its module is `package`.name.

    Only the module of the verb that `arguments` name is imported, so that help is instant; its `run` is `args.run`.
    """
    parser = argparse.ArgumentParser(prog=command, description=description)
    choices = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, does in verbs.items():
        chosen = choices.add_parser(verb, help=does, description=f"{does[0].upper()}{does[1:]}.")
        if arguments[:1] == [verb]:
            module = importlib.import_module(f"{package}.{verb}")
            module.add_arguments(chosen)
            chosen.set_defaults(run=module.run)
    return parser
