"""Make three of the browser tests' screenshots the README's pictures.

python -m pytest tests/browser && python tests/browser/pictures.py
"""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = ("compare", "trust", "lab-curve")
WIDTH_PX = 1200  # what a README's column shows, with some to spare


def main() -> None:
    for name in PICTURES:
        screenshot = ROOT / "artefacts" / f"{name}.png"
        if not screenshot.is_file():
            raise SystemExit(f"{screenshot} is not there: run python -m pytest tests/browser first")
        image = Image.open(screenshot).convert("RGB")
        image = image.resize((WIDTH_PX, round(image.height * WIDTH_PX / image.width)))
        target = ROOT / "assets" / "figures" / f"{name}.webp"
        image.save(target, quality=85, method=6)
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
