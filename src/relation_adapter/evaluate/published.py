"""What the paper's tables say (arXiv 2506.02528; FID and tables 9, 10: the NeurIPS version), as they are printed.

MSE and FID: lower is better. GPT-C and GPT-A are paired scores, which depend on the rival of each table.
"""

from __future__ import annotations

Rows = tuple[tuple[str, ...], ...]

SCORES = ("MSE ↓", "CLIP-I ↑", "FID ↓", "GPT-C ↑", "GPT-A ↑")
TABLE_1: Rows = (
    ("Edit Transfer", "0.043", "0.827", "4.908", "4.234", "3.508"),
    ("RelationAdapter, tasks of Edit Transfer", "0.020", "0.905", "2.201", "4.437", "4.429"),
    ("VisualCloze", "0.049", "0.802", "7.218", "3.594", "3.411"),
    ("RelationAdapter, tasks of VisualCloze", "0.025", "0.894", "4.801", "4.084", "3.918"),
)
TABLE_2: Rows = (
    ("in context, no adapter", "seen", "0.055", "0.787", "5.968", "3.909", "3.597"),
    ("RelationAdapter", "seen", "0.044", "0.852", "5.191", "4.079", "4.106"),
    ("in context, no adapter", "unseen", "0.061", "0.778", "5.571", "3.840", "3.566"),
    ("RelationAdapter", "unseen", "0.053", "0.812", "5.498", "4.187", "4.173"),
)
TABLE_3: Rows = (
    ("RelationAdapter", "low-level", "32", "0.028 ± 0.038", "0.885 ± 0.067", "3.943 ± 0.383", "3.822 ± 0.406"),
    ("RelationAdapter", "style", "84", "0.051 ± 0.032", "0.846 ± 0.036", "4.077 ± 0.198", "4.246 ± 0.285"),
    ("RelationAdapter", "editing", "63", "0.031 ± 0.023", "0.861 ± 0.055", "4.173 ± 0.229", "4.100 ± 0.400"),
    ("RelationAdapter", "customized", "39", "0.065 ± 0.048", "0.816 ± 0.073", "4.071 ± 0.224", "4.064 ± 0.313"),
)
TABLE_9: Rows = (
    ("RelationAdapter", "2", "seen", "0.044", "0.827", "5.564", "3.855", "3.536"),
    ("RelationAdapter", "1", "seen", "0.044", "0.852", "5.191", "4.115", "4.258"),
    ("RelationAdapter", "0.5", "seen", "0.050", "0.832", "5.895", "4.099", "3.591"),
    ("RelationAdapter", "2", "unseen", "0.054", "0.794", "5.805", "3.858", "3.527"),
    ("RelationAdapter", "1", "unseen", "0.053", "0.812", "5.498", "4.211", "4.377"),
    ("RelationAdapter", "0.5", "unseen", "0.056", "0.808", "5.724", "4.149", "3.620"),
)
TABLE_10: Rows = (
    ("RelationAdapter, LoRA rank 16", "seen", "0.048", "0.828", "5.757", "4.035", "3.607"),
    ("RelationAdapter, LoRA rank 128", "seen", "0.044", "0.852", "5.191", "4.145", "4.219"),
    ("RelationAdapter, LoRA rank 16", "unseen", "0.064", "0.792", "5.924", "4.026", "3.505"),
    ("RelationAdapter, LoRA rank 128", "unseen", "0.053", "0.812", "5.498", "4.195", "4.239"),
)
# Tables 4 to 7: title, our columns with their heads, and the rows.
DENSE: tuple[tuple[str, dict[str, str], Rows], ...] = (
    (
        "Table 4: edges",
        {"edge_precision": "precision ↑", "edge_recall": "recall ↑", "edge_f1": "F1 ↑"},
        (
            ("VisualCloze, BSDS500", "0.3476", "0.0837", "0.1227"),
            ("RelationAdapter, BSDS500", "0.2266", "0.3134", "0.2150"),
        ),
    ),
    (
        "Table 5: segmentation",
        {"seg_pixel_accuracy": "pixel accuracy ↑", "seg_mean_accuracy": "mean accuracy ↑", "seg_miou": "mIoU ↑"},
        (
            ("VisualCloze, COCO", "0.7817", "0.3959", "0.3143"),
            ("RelationAdapter, COCO", "0.7810", "0.4722", "0.3642"),
        ),
    ),
    (
        "Table 6: depth",
        {"depth_delta1": "δ < 1.25 ↑"},
        (
            ("VisualCloze, BSDS500", "0.1492"),
            ("RelationAdapter, BSDS500", "0.1833"),
            ("VisualCloze, COCO", "0.1515"),
            ("RelationAdapter, COCO", "0.1750"),
            ("VisualCloze, BIPED", "0.2954"),
            ("RelationAdapter, BIPED", "0.3088"),
        ),
    ),
    (
        "Table 7: surface normals",
        {
            "normal_mean": "mean ° ↓",
            "normal_median": "median ° ↓",
            "normal_within_11": "< 11.25° ↑",
            "normal_within_22": "< 22.5° ↑",
            "normal_within_30": "< 30° ↑",
        },
        (
            ("VisualCloze, BSDS500", "52.29", "49.15", "0.0676", "0.2210", "0.3352"),
            ("RelationAdapter, BSDS500", "27.15", "24.59", "0.1612", "0.4789", "0.6588"),
            ("VisualCloze, COCO", "63.30", "61.00", "0.0221", "0.0959", "0.1813"),
            ("RelationAdapter, COCO", "35.62", "32.66", "0.1190", "0.3630", "0.5168"),
            ("VisualCloze, BIPED", "53.15", "51.01", "0.0409", "0.1506", "0.2556"),
            ("RelationAdapter, BIPED", "29.83", "28.39", "0.1228", "0.3857", "0.5487"),
            ("VisualCloze, NYUv2", "43.19", "37.78", "0.0447", "0.2074", "0.3638"),
            ("RelationAdapter, NYUv2", "31.69", "28.30", "0.1146", "0.3733", "0.5375"),
        ),
    ),
)
COST = (
    ("in context, no adapter, 1024 px", "> 13", "77 in training"),
    ("RelationAdapter, 1024 px", "< 9", "74 in training, 40 in editing"),
)
