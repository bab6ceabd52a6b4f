"""The checks of kinds.py for atheris, which looks at which branches a mutant reaches: `harness.py KIND [options of libFuzzer]`.

Needs the extra `fuzz`: pip install -e '.[fuzz]'. For example: `harness.py idx -max_total_time=600 -rss_limit_mb=512`.
"""

import random
import sys
import tempfile
from pathlib import Path


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["numlp"]):
        from fuzz.kinds import KINDS
    kind = KINDS[sys.argv.pop(1)]
    seeds = kind.seeds()
    folder = Path(tempfile.mkdtemp(prefix="numlp-fuzz-"))
    path = folder / "mutant"
    for i, data in enumerate(seeds):
        (folder / "corpus").mkdir(exist_ok=True)
        (folder / "corpus" / str(i)).write_bytes(data)

    def test_one_input(data: bytes) -> None:
        path.write_bytes(data)
        kind.check(path, data)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        """Change bytes as libFuzzer does, or what the format means."""
        if seed % 2:
            return atheris.Mutate(data, len(data) + 64)[:max_size]
        return kind.mutate(random.Random(seed), [data, *seeds] if seed % 4 == 0 else seeds)[:max_size]

    def careful(data: bytes, max_size: int, seed: int) -> bytes:
        try:
            return mutate(data, max_size, seed)
        except Exception:  # the mutators know the structure of seeds; libFuzzer's bytes may have lost it
            return atheris.Mutate(data, len(data) + 64)[:max_size]

    atheris.Setup([sys.argv[0], str(folder / "corpus"), *sys.argv[1:]], test_one_input, custom_mutator=careful)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
