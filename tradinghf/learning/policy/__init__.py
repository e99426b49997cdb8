"""Networks that trade: shapes, heads, saving, export."""

from __future__ import annotations

from tradinghf.learning.policy._assets import AssetBody
from tradinghf.learning.policy._ensemble import ensemble
from tradinghf.learning.policy._heads import Categorical, Head
from tradinghf.learning.policy._networks import ActorCritic, frozen
from tradinghf.learning.policy._onnx import export_onnx
from tradinghf.learning.policy._perceptron import Layer, Perceptron, Scratch
from tradinghf.learning.policy._saved import Policy

__all__ = [
    "ActorCritic",
    "AssetBody",
    "Categorical",
    "Head",
    "Layer",
    "Perceptron",
    "Policy",
    "Scratch",
    "ensemble",
    "export_onnx",
    "frozen",
]
