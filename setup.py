"""The ament_python package `tpf_ros` with the model library it runs. package.xml is its ROS side."""

from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError

# For pip. colcon leaves dependencies to rosdep (package.xml) and the user.
# Beside the real file: `colcon build --symlink-install` runs a link to it in a folder of its own.
RUNTIME = Path(__file__).resolve().parent / "requirements/runtime.txt"
REQUIREMENTS = [line for line in RUNTIME.read_text().splitlines() if line[:1] not in ("", "#")]

# Without a compiler the package is installed all the same, and what runs says at run time that it is the slow one.
KERNELS = [
    Extension(
        name,
        [name.replace(".", "/") + ".cpp"],
        depends=["tpf_model/_ranges.h", "tpf_model/_vector.h"],
        extra_compile_args=["-O3", "-std=gnu++17", "-Wno-psabi"],
        optional=True,
    )
    for name in ("tpf_model._encoder", "tpf_model._fusion", "tpf_model.selective_scan._native")
]

OPENMP = ["-fopenmp"]


class BuildKernels(build_ext):
    """With OpenMP where the compiler has it; without, the kernels that use it run in one thread."""

    def build_extension(self, ext):
        plain = ext.extra_compile_args
        ext.extra_compile_args, ext.extra_link_args = plain + OPENMP, OPENMP
        try:
            super().build_extension(ext)
        except CCompilerError:
            ext.extra_compile_args, ext.extra_link_args = plain, []
            super().build_extension(ext)


setup(
    name="tpf_ros",
    version="0.1.0",
    description="Tracks one target in synchronised visible and thermal video, by fusing the two images at pixel level",
    license="Apache-2.0",
    maintainer="TPF maintainers",
    maintainer_email="maintainers@tpf.example",
    python_requires=">=3.10",
    packages=find_packages(include=["tpf_ros", "tpf_ros.*", "tpf_model", "tpf_model.*"]),
    ext_modules=KERNELS,
    cmdclass={"build_ext": BuildKernels},
    package_data={"tpf_model": ["variants/*.yaml", "checkpoints/*.safetensors"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/tpf_ros"]),
        ("share/tpf_ros", ["package.xml"]),
        ("share/tpf_ros/launch", glob("launch/*.launch.py")),
        ("share/tpf_ros/config", glob("config/*.*")),
    ],
    install_requires=REQUIREMENTS,
    extras_require={
        "test": ["pytest"],
        # What `tpf export` and `runtime: onnx` need on top.
        "onnx": ["torch>=2.5", "onnx>=1.15", "onnxruntime>=1.16"],
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "tpf = tpf_ros.cli:main",
            "tpf_tracker = tpf_ros.tracker_node:main",
        ]
    },
)
