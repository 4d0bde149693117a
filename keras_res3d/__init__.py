"""keras_res3d: 3D residual networks for video in Keras, and the search that found them.

Names are imported on first use, so that `import keras_res3d` costs nothing and counts need no TensorFlow.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "keras_res3d.applications": ["C3D", "MixedConv3D", "Res3D18", "Res3D34", "SR18", "build_model"],
    "keras_res3d.cards": ["ModelCard", "save_model"],
    "keras_res3d.export.export": ["export_model"],
    "keras_res3d.export.formats": ["load_runner", "read_card"],
    "keras_res3d.export.report": ["ExportError", "ExportReport"],
    "keras_res3d.export.web": ["write_web_page"],
    "keras_res3d.inference.classifier": ["load_model"],
    "keras_res3d.inference.events": ["Event", "find_events"],
    "keras_res3d.inference.grad_cam": ["grad_cam"],
    "keras_res3d.inference.streaming": ["StreamingPredictor"],
    "keras_res3d.inference.videos": ["predict_video"],
    "keras_res3d.tasks.evaluate": ["evaluate", "over_splits"],
    "keras_res3d.search": ["HyperModel"],
    "keras_res3d.tasks.detection.annotations": ["read_annotations"],
    "keras_res3d.tasks.detection.detections": ["read_detections", "write_detections"],
    "keras_res3d.tasks.detection.evaluate": ["evaluate_detections"],
    "keras_res3d.tasks.detection.overlap_loss": ["OverlapLoss"],
    "keras_res3d.tasks.detection.run": ["detect_actions", "load_detector"],
    "keras_res3d.tasks.detection.train": ["train_stage"],
    "keras_res3d.tasks.search": ["VideoIndex", "search_videos"],
    "keras_res3d.tasks.studies.paper": ["STUDIES"],
    "keras_res3d.tasks.studies.read": ["read_study"],
    "keras_res3d.tasks.studies.results": ["read_results"],
    "keras_res3d.tasks.studies.search": ["search_architectures"],
    "keras_res3d.tasks.studies.study": ["Study"],
    "keras_res3d.tasks.similarity": ["similarity"],
    "keras_res3d.tasks.transfer.finetune": ["transfer_finetune"],
    "keras_res3d.tasks.transfer.knn": ["transfer_knn"],
    "keras_res3d.tasks.transfer.pca": ["transfer_pca"],
    "keras_res3d.tasks.transfer.svm": ["transfer_svm"],
    "keras_res3d.tasks.extract": ["each_video", "extract_features"],
    "keras_res3d.tasks.features": ["Features", "as_features", "read_features"],
    "keras_res3d.reports.net_drawing": ["architecture_svg"],
    "keras_res3d.reports.run": ["write_report"],
    "keras_res3d.reports.score_files": ["write_scores"],
    "keras_res3d.multi_label": ["MultiLabelScores", "average_precision"],
    "keras_res3d.reports.saliency": ["saliency"],
    "keras_res3d.reports.studies": ["write_study_report"],
    "keras_res3d.nets.architecture": ["Architecture", "walk"],
    "keras_res3d.nets.bfloat16": ["guard_bfloat16"],
    "keras_res3d.export.two_d": ["NoTwoDFormError", "to_2d"],
    "keras_res3d.nets.counts": ["count_macs", "count_params", "solve_width"],
    "keras_res3d.nets.model_counts": ["model_counts"],
    "keras_res3d.nets.zoo": ["ZOO", "get_architecture"],
    "keras_res3d.data.augment": ["Augment"],
    "keras_res3d.data.bad_videos": ["BadVideos"],
    "keras_res3d.data.clips": ["Sampling"],
    "keras_res3d.data.labels": ["decode_predictions", "label_names"],
    "keras_res3d.data.open": ["open_video", "read_data_set", "read_layout"],
    "keras_res3d.data.split": ["split_folds"],
    "keras_res3d.data.sources.camera": ["Camera"],
    "keras_res3d.data.sources.video_file": ["Video"],
    "keras_res3d.data.batches": ["evaluation_batches", "training_batches", "training_stream"],
    "keras_res3d.data.transform": ["preprocess_input"],
    "keras_res3d.training.callbacks": ["Speed", "StopOnNaN"],
    "keras_res3d.training.compile": ["compile_by_recipe"],
    "keras_res3d.training.fit": ["prepare_net", "train"],
    "keras_res3d.training.objective": ["Objective"],
    "keras_res3d.training.recipes": ["RECIPES", "TrainingOptions", "recipe"],
    "keras_res3d.training.resume": ["ResumeExactly"],
    "keras_res3d.training.stream": ["recipe_stream"],
    "keras_res3d.training.validate": ["ValidateVideos"],
    "keras_res3d.weights.contamination": ["ContaminatedError", "check_evaluation"],
    "keras_res3d.weights.download": ["DownloadError"],
    "keras_res3d.weights.freeze": ["freeze", "unfreeze"],
    "keras_res3d.weights.pretrained": ["load_pretrained"],
    "keras_res3d.weights.source": ["WeightsError"],
    "keras_res3d.weights.trim": ["trim_weights", "untrim_weights"],
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}
# Modules that are public under their own names.
_MODULES = ("search",)
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
