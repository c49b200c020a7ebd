#!/usr/bin/env bash
# Formats our C++ with the pinned formatter (.clang-format).
#
#   scripts/format.sh [--check] [FILE...]     all of src and tests without files; --check only tells, and fails
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
check=0 files=()
for argument in "$@"; do
  case "$argument" in
    --check) check=1 ;;
    -h | --help)
      sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    -*) fail "unknown option $argument" "Options: --check" ;;
    *) files+=("$(realpath "$argument")") ;;
  esac
done
cd "$root"

formatter=''
for candidate in clang-format-14 clang-format; do
  if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then
    formatter=$candidate
    break
  fi
done
if [ -z "$formatter" ]; then
  # Other releases break lines elsewhere: their verdict would be noise.
  note "left out: clang-format 14 is not installed"
  [ "$check" = 1 ]
  exit
fi

if [ ${#files[@]} = 0 ]; then
  mapfile -d '' files < <(find src tests -type f \( -name '*.h' -o -name '*.cpp' \) -print0 | sort -z)
fi
if [ "$check" = 1 ]; then
  "$formatter" --dry-run --Werror --ferror-limit=1 "${files[@]}"
else
  "$formatter" -i "${files[@]}"
fi
