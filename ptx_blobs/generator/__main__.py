"""Write every text and the index."""

from __future__ import annotations

from .index import FOLDER, INDEX, index, texts


def main() -> None:
    """Write every text and the index, and print the number of lines of each."""
    for name, text in texts().items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"{path.relative_to(FOLDER)}: {len(text.splitlines())} lines")
    INDEX.write_text(index())


if __name__ == "__main__":
    main()
