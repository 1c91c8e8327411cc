"""How speed, memory and cost are measured: what `tpf bench` and `tpf-eval speed` share."""
