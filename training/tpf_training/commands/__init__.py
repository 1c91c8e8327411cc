"""The subcommands of `tpf-train`."""
