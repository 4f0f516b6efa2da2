"""Settings of the matrix's project. MATRIX_DATABASE says which database it runs on, as JSON."""

import json
import os

SECRET_KEY = "the key of a project that signs nothing"
DATABASES = {"default": json.loads(os.environ["MATRIX_DATABASE"])}
INSTALLED_APPS = ["tests.testing.matrix"]
USE_TZ = True
