# shellcheck shell=bash
# Sourced by the scripts: makes sure that the commands they use exist.

# Debian keeps administrators' commands where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

# need PACKAGE:COMMAND... - each COMMAND exists afterwards. What is missing is installed from its
# Debian PACKAGE where that may be done (apt-get, and root or a sudo that asks nothing); otherwise
# the packages are named and the result is 1.
need() {
  local pair missing=() root=()
  for pair in "$@"; do
    command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
  done
  ((${#missing[@]})) || return 0

  if ((EUID != 0)); then root=(sudo -n); fi
  if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
    echo "installing ${missing[*]}" >&2
    # The lists of a fresh machine are empty or old: they are fetched when the first try fails.
    local install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive
      apt-get install -y -qq --no-install-recommends "${missing[@]}")
    "${install[@]}" >/dev/null 2>&1 || { "${root[@]}" apt-get update -qq && "${install[@]}" >/dev/null; } || true
  fi

  for pair in "$@"; do
    command -v "${pair#*:}" >/dev/null && continue
    echo "${0##*/}: '${pair#*:}' is missing: install the package ${pair%%:*}" \
      "(Debian: apt-get install ${pair%%:*})" >&2
    return 1
  done
}
