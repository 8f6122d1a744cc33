"""STL-10: 13,000 labeled color images of 96 x 96 pixels, as binary files; the unlabeled images are not read.

Reference:
    Coates, Lee and Ng 2011 (https://cs.stanford.edu/~acoates/stl10/).
"""

import dataclasses

from energy.data import records
from energy.data.published import Download, Published
from energy.data.source import File, Layout, Part

PIXELS = 3 * 96 * 96


class Stl10(Published, name="stl10"):
    """Ten classes of animals and vehicles at 96 x 96 pixels, 500 training and 800 test images of each."""

    image = (3, 96, 96)
    classes = 10
    names = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    counts = (5000, 8000)
    layouts = (
        Layout(
            "binary",
            ("stl10_binary",),
            (
                Part(
                    "train",
                    (
                        File("train_X.bin", 5000 * PIXELS, "918c2871b30a85fa023e0c44e0bee87f"),
                        File("train_y.bin", 5000, "5a34089d4802c674881badbb80307741"),
                    ),
                ),
                Part(
                    "test",
                    (
                        File("test_X.bin", 8000 * PIXELS, "7f263ba9f9e0b06b93213547f721ac82"),
                        File("test_y.bin", 8000, "36f9794fa4beb8a2c72628de14fa638e"),
                    ),
                ),
            ),
            records.stl,
            first_label=1,
        ),
    )
    downloads = (
        Download("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz", "md5:91f7769df0f17e558f3565bffb0c7dfb"),
    )

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.4467, 0.4398, 0.4066])
    std: list[float] = dataclasses.field(default_factory=lambda: [0.2603, 0.2566, 0.2713])
    crop: int = 4
    flip: bool = True
