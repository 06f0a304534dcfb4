"""Where the JavaScript scenarios are, with the npm packages that they import.

Rules: beside this file, with the pinned SDK; `make sdk-latest` names a copy with the latest one.
"""

import os
from pathlib import Path
from typing import Final

FOLDER_VARIABLE: Final = "FOREBAY_SDK_SCENARIOS"

FOLDER: Final = Path(os.environ.get(FOLDER_VARIABLE, Path(__file__).parent))
