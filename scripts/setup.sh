#!/usr/bin/env bash
# scripts/setup.sh PYTHON FOLDER: a virtual environment with the packages of requirements.lock and this project.
set -euo pipefail
python=$1 folder=$2
needed=4  # GB: the environment takes 3.6

fail() {
  echo "Error: $1" >&2
  exit 1
}

# The folder or, as long as it is missing, the one above it.
free_kib() {
  local place=$1
  while [ ! -d "$place" ]; do place=$(dirname "$place"); done
  df -Pk "$place" | awk 'NR == 2 {print $4}'
}

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

# Is it what a command says, or what it leaves? (venv does not pass on why it failed.)
disk_is_full() {
  case "$1" in *"No space left on device"* | *"Disk quota exceeded"*) return 0 ;; esac
  for place in "$folder" "${TMPDIR:-/tmp}" "${UV_CACHE_DIR:-$HOME/.cache/uv}"; do
    [ "$(free_kib "$place")" -gt 20000 ] || return 0
  done
  return 1
}

# Prints what went wrong, a full disk as one line.
run() {
  local output
  output=$("$@" 2>&1) && return
  disk_is_full "$output" &&
    fail "the disk is full: set-up needs $needed GB in $PWD, and room for temporary files and uv's cache; free some and run the same command again"
  echo "$output" >&2
  fail "set-up stopped at the above; run the same command again to go on"
}

[ -n "$python" ] || fail "sr-pipeline needs Python 3.11, 3.12 or 3.13, and none was found; name one with: make PYTHON=/path/to/python3.13"
is_supported "$python" ||
  fail "sr-pipeline needs Python 3.11, 3.12 or 3.13; $python is $("$python" --version 2>&1 || true); name another with: make PYTHON=/path/to/python3.13"

# What was interrupted is started again (downloads are kept in uv's cache): half a package looks like a whole one.
if [ -e "$folder/.unfinished" ] || ! is_supported "$folder/bin/python" || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
  [ ! -e "$folder" ] || [ -e "$folder/pyvenv.cfg" ] ||
    fail "$folder is there and is not a virtual environment; remove it, or name another with VENV="
  rm -rf "$folder"
  free=$(free_kib "$folder")
  [ "$free" -ge $((needed * 1000000)) ] ||
    fail "set-up needs $needed GB of disk, and $PWD has $((free / 1000000)) GB free; free some and run the same command again"
  run "$python" -m venv "$folder"
fi
touch "$folder/.unfinished"
echo "Installing into $folder: a minute or two on a fast connection, 3.6 GB"
bin=$folder/bin
run "$bin/python" -m pip install --quiet --disable-pip-version-check uv
# Compiled here, as pip does: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each start would compile again.
run "$bin/uv" pip install --quiet --python "$bin/python" --compile-bytecode --require-hashes -r requirements.lock
run "$bin/uv" pip install --quiet --python "$bin/python" --no-deps --no-build-isolation -e .
rm "$folder/.unfinished"
