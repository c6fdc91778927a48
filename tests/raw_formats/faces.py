"""300-VW and WFLW."""

import numpy as np

from .figures import faces, write_picture, write_video

# 300-VW: video 001 and 002 train; 114 is of the first test category, 410 of the third.
VIDEOS = {"001": 6, "002": 9, "114": 5, "410": 4}


HEADS = ("version: 1\nn_points: 68\n{\n", "version: 1\nn_points:  68\n{\n", "version:1\r\nn_points:68\r\n{\r\n")


def write_300vw(root, seed, images):
    """.pts files counted from 1 in three spacings; a broken file and a missing one."""
    random = np.random.default_rng(seed)
    found = {"train": [], "test": []}
    for name, length in VIDEOS.items():
        landmarks = faces(random, length, 160, 160)
        folder = root / "300VW_Dataset_2015_12_14" / name
        (folder / "annot").mkdir(parents=True)
        kept = []
        for frame, points in enumerate(landmarks):
            if (name, frame) == ("002", 3):
                continue
            lines = [f"{x + 1:.6f} {y + 1:.6f}" for x, y in points]
            head = HEADS[frame % len(HEADS)]
            text = head + "\n".join(lines) + "\n}" + "\n" * (frame % 2)
            if (name, frame) == ("002", 5):
                text = text[: len(text) // 2]
            else:
                kept.append(points)
            (folder / f"annot/{frame + 1:06d}.pts").write_text(text)
        if images:
            write_video(folder / "vid.avi", landmarks, 160, 160)
        found["train" if name in ("001", "002") else "test"].append(np.array(kept))
    return {split: np.concatenate(parts) for split, parts in found.items()}


def _as_98(landmarks, random):
    """98 landmarks that hold iBUG's 68 where WFLW has them; the others are noise, as no one may look at them."""
    many = random.uniform(0, 100, (len(landmarks), 98, 2))
    places = [*range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 60)]
    places += [60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96)]
    many[:, places] = landmarks
    return many


def write_wflw(root, seed, images):
    """207 words a line: 196 coordinates, 4 of a box, 6 flags, a path; two faces in one picture; one line broken."""
    random = np.random.default_rng(seed)
    found = {}
    folder = root / "WFLW_annotations/list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True)
    for split, count in {"train": 30, "test": 8}.items():
        landmarks = np.round(faces(random, count, 150, 150), 6)
        lines = []
        for number, (points, many) in enumerate(zip(landmarks, _as_98(landmarks, random), strict=True)):
            # Faces 4 and 5 share a picture.
            shown = number - (number == 5)
            name = f"{shown % 3}--Event_{shown % 3}/{split}_{shown}.jpg"
            words = [f"{value:.6f}" for value in many.ravel()] + [
                "10",
                "12",
                "140",
                "141",
                "0",
                "1",
                "0",
                "0",
                "0",
                "1",
                name,
            ]
            assert len(words) == 207
            lines.append(" ".join(words))
            if images:
                write_picture(root / "WFLW_images" / name, points, 150, 150)
        if split == "train":
            lines.insert(7, "12.5 abc " + lines[7])
            lines.append("")
        (folder / f"list_98pt_rect_attr_{split}.txt").write_text("\n".join(lines))
        found[split] = landmarks
    return found
