"""The paper's figures of transfer, in percent: table 9, figure 3 and table 11."""

from __future__ import annotations

# Table 9 by public data set and task: the mean over three splits.
TABLE_9 = {
    ("ucf101", "svm"): {"Res3D": 83.1, "C3D": 82.2, "2D-Resnet": 79.2},
    ("hmdb51", "svm"): {"Res3D": 51.3, "C3D": 51.6, "2D-Resnet": 47.2},
    ("ucf101", "finetune"): {"Res3D": 85.8, "C3D": 82.3},
    ("hmdb51", "finetune"): {"Res3D": 54.9, "C3D": 50.3},
}
# Figure 3 by public data set: accuracy at a number of dimensions. The paper names these three points in its text.
FIGURE_3 = {"ucf101": {"Res3D": {10: 56.7, 300: 82.9}, "C3D": {10: 52.8}}}
# Table 11, action similarity: accuracy, and the area under the ROC curve.
TABLE_11 = {"Res3D": (78.8, 86.6), "C3D": (78.3, 86.5), "2D-Resnet": (77.2, 85.0), "AlexNet": (67.5, 73.8)}
