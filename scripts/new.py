"""Render a service from this working copy: `make new`."""

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
    parser.add_argument("--defaults", action="store_true", help="use the default answers, without questions")
    parser.add_argument("--data-file", type=Path, help="read answers from this YAML file")
    arguments = parser.parse_args()

    destination: Path = arguments.destination
    if destination.exists() and any(destination.iterdir()):
        sys.exit(f"{destination} already exists and is not empty. Choose another DEST, or remove the directory.")
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
        sys.exit(f"Cannot open {error.filename}: {error.strerror}.")
    except YAMLError as error:
        sys.exit(f"{arguments.data_file} is not valid YAML: {error}".replace("\n", " "))
    except CopierAnswersInterrupt:
        sys.exit("Interrupted. Nothing was rendered.")
    except (ValueError, UserMessageError) as error:
        sys.exit(str(error))
    finally:
        if not existed and destination.exists() and not any(destination.iterdir()):
            destination.rmdir()


if __name__ == "__main__":
    main()
