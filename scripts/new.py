"""Render a service from this working copy: what `make new` runs."""

import argparse
import sys
import warnings
from pathlib import Path

from copier import run_copy
from copier.errors import CopierAnswersInterrupt, DirtyLocalWarning, UserMessageError
from yaml import YAMLError, safe_load

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--defaults", action="store_true", help="ask nothing")
    parser.add_argument("--data-file", type=Path, help="a YAML file with answers")
    arguments = parser.parse_args()

    destination: Path = arguments.destination
    if destination.exists() and any(destination.iterdir()):
        sys.exit(f"{destination} is there already and not empty: choose another DEST, or remove it.")
    existed = destination.exists()
    warnings.simplefilter("ignore", DirtyLocalWarning)
    try:
        data = safe_load(arguments.data_file.read_text("utf-8")) if arguments.data_file else {}
        run_copy(
            str(ROOT),
            destination,
            data=data,
            defaults=arguments.defaults or not sys.stdin.isatty(),
            vcs_ref="HEAD",
        )
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
    except YAMLError as error:
        sys.exit(f"{arguments.data_file} is not YAML: {error}".replace("\n", " "))
    except CopierAnswersInterrupt:
        sys.exit("Interrupted: nothing was rendered.")
    except (ValueError, UserMessageError) as error:
        sys.exit(str(error))
    finally:
        if not existed and destination.exists() and not any(destination.iterdir()):
            destination.rmdir()


if __name__ == "__main__":
    main()
