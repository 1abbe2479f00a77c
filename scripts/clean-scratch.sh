#!/usr/bin/env bash
# scripts/clean-scratch.sh: empty data/.scratch, except for the checkpoints of the three trainings that wrote last.
set -euo pipefail
cd data/.scratch 2>/dev/null || exit 0
find . -mindepth 1 -maxdepth 1 ! -name checkpoints -exec rm -rf {} +
cd checkpoints 2>/dev/null || exit 0
# A training is a folder <id>/<code>; a file above that is of an earlier version.
find . -maxdepth 2 -type f -delete
{ ls -1dt ./*/*/ 2>/dev/null || true; } | tail -n +4 | while read -r old; do rm -rf "$old"; done
find . -mindepth 1 -type d -empty -delete
