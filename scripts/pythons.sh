#!/usr/bin/env bash
# The supported Pythons of this machine, one path a line and one for each version, the preferred one first: 3.11, which
# the committed results were made with, then the newest. Those of pyenv count even where none is activated.
for version in 3.11 3.13 3.12; do
  for python in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python python3 python; do
    # pyenv leaves programs on the PATH for versions that are not activated, so each is asked; an activated virtual
    # environment may be the one that is about to be replaced, so what is asked for is the Python behind it.
    found=$("$python" -c 'import sys, venv; print(sys._base_executable, "%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if [ "${found##* }" = "$version" ]; then
      echo "${found% *}"
      break
    fi
  done
done
