"""Show what a model says about a few test images it has never seen: python examples/show_predictions.py MODEL."""

import sys

import numpy as np

import numlp as nl

SHADES = np.array(list(" .:-=+*#%@"))


def main() -> None:
    network = nl.load(sys.argv[1])
    data = nl.load_digits()
    n_pixels = data.test.x.shape[1]
    if network.n_in != n_pixels:
        sys.exit(f"{sys.argv[1]}: model must take the {n_pixels} pixels of the digits, got one of {network.n_in}")
    rows = slice(0, 6)
    images, labels = data.test.x[rows], data.test.y[rows]
    probabilities = network.predict_proba(images)
    height, width = data.image_shape
    shades = SHADES[(images * (len(SHADES) - 1)).round().astype(int)].reshape(-1, height, width)
    print("\nsix test images:\n")
    for line in range(height):  # two characters a pixel, because a character is twice as high as wide
        print("   ".join("".join(shade * 2 for shade in image[line]) for image in shades))
    captions = (
        ("says", [f"{p.argmax()} ({p.max():.0%})" for p in probabilities]),
        ("truth", [str(label) for label in labels]),
    )
    for title, texts in captions:
        print("   ".join(f"{f'{title} {text}':<{2 * width}}" for text in texts))


if __name__ == "__main__":
    main()
