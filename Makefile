# `make demo` and `make test` work on a fresh machine; see README.md.
#   PYTHON       the Python that .venv is made with
#   PYTEST_ARGS  more arguments for pytest, e.g. PYTEST_ARGS="test/model -x"
PYTHON ?= python3
export PYTHON

# Everything here runs on one machine: keep its topics off the network.
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

# tpf_interfaces' libraries are in .venv/lib. The ROS wheels look there by themselves, a sourced ROS does not.
ifdef ROS_DISTRO
export LD_LIBRARY_PATH := $(CURDIR)/.venv/lib:$(LD_LIBRARY_PATH)
endif

.PHONY: demo test setup

demo: setup
	.venv/bin/tpf demo --out demo_output

test:
	@scripts/setup_env.sh test
	.venv/bin/python -m pytest $(PYTEST_ARGS)

setup:
	@scripts/setup_env.sh
