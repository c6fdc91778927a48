"""The paper's own tables, as printed: method, target, source, annotation set, MSE-Pixel, PCK."""

PAPER_COLUMNS = ("Method", "Target", "Source", "Annotation set", "MSE-Pixel", "PCK")
PAPER_TABLES = {
    "table1": (
        ("Aligned", "Human3.6M", "Human3.6M", "3.6M", 12.07, 0.443),
        ("Direct", "Human3.6M", "COCO", "33K", 17.86, 0.015),
        ("Ours", "Human3.6M", "COCO", "33K", 13.19, 0.585),
        ("Aligned", "Simplified Human3.6M", "Simplified Human3.6M", "800K", 2.96, 0.843),
        ("Direct", "Simplified Human3.6M", "COCO", "33K", 5.47, 0.685),
        ("Direct", "Simplified Human3.6M", "3DHP", "121K", 12.66, 0.000),
        ("Direct", "Simplified Human3.6M", "SURREAL", "121K", 11.18, 0.000),
        ("Ours", "Simplified Human3.6M", "COCO", "33K", 4.61, 0.706),
        ("Ours", "Simplified Human3.6M", "3DHP", "121K", 5.98, 0.467),
        ("Ours", "Simplified Human3.6M", "SURREAL", "121K", 6.47, 0.499),
    ),
    "table3": (
        ("Aligned", "WFLW", "WFLW", "7.5K", 8.25, 0.425),
        ("Direct", "WFLW", "300-VW", "96K", 18.78, 0.101),
        ("Ours", "WFLW", "300-VW", "96K", 11.64, 0.482),
    ),
}
