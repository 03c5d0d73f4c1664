"""`python -m serving.model_server FOLDER`: MLServer, with the settings in the folder.

What `mlserver start FOLDER` does, as a module, so that it can be forked.
"""

import sys

from mlserver.cli import main

if __name__ == "__main__":
    sys.argv = ["mlserver", "start", *sys.argv[1:]]
    main()
