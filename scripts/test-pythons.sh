#!/usr/bin/env bash
# `make check` and the quick tests under every supported Python of this machine, each in an environment of its own:
# scripts/test-pythons.sh [--others] [VERSION...], such as 3.13. Without versions, all that are found; --others leaves
# out that of .venv, for which make check and make test run anyway.
set -euo pipefail
cd "$(dirname "$0")/.."
others=
[ "${1-}" != --others ] || { others=yes; shift; }
tested=()
while read -r python <&3; do  # make may read standard input
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [ $# = 0 ] || [[ " $* " == *" $version "* ]] || continue
  folder=.venv-$version
  # The environment of `make run` will do for the Python it is of.
  if [ "$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
    [ -z "$others" ] || continue
    folder=.venv
  fi
  echo "== Python $version, $folder"
  make --no-print-directory check test-quick PYTHON="$python" VENV="$folder"
  tested+=("$version")
done 3< <(scripts/pythons.sh)
for version in "$@"; do
  [[ " ${tested[*]-} " == *" $version "* ]] || { echo "Error: no Python $version was found" >&2; exit 1; }
done
[ ${#tested[@]} -gt 0 ] || [ -z "$others" ] || { echo "no other supported Python was found"; exit 0; }
[ ${#tested[@]} -gt 0 ] || { echo "Error: no Python 3.11, 3.12 or 3.13 was found" >&2; exit 1; }
echo "check and quick tests passed under Python ${tested[*]}"
