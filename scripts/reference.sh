#!/usr/bin/env bash
# Compares what this program computes with libraries that others wrote, live: token ids with llama.cpp, dequantization with
# the gguf package, and whatever else lies in scripts/reference/. CI holds the same answers as stored numbers; this repeats
# them against the libraries themselves. Safe to run again.
#
#   scripts/reference.sh [--install-only] [NAME...]     NAME: scripts/reference/NAME.py; all but the slow ones unless told
#
# The libraries go to .venv-reference (2 GB; llama-cpp-python may compile for some minutes). STAMP_REFERENCE_VENV names a
# virtual environment that has them already.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Programs that know this list: the modules that a comparison imports, everything else in the folder is a comparison.
modules=(common golden strings gguf_model)
slow=(quantized shifted decoding gptq residual_channels flatquant_layers)  # minutes, or a finding rather than a comparison: only when named
packages=(torch==2.13.0 numpy scipy PyWavelets "transformers==5.23.*" "diffusers==0.42.*" gguf safetensors sentencepiece protobuf pillow scikit-image
  geoopt)
llama=llama-cpp-python==0.3.36

install_only=0 names=()
for argument in "$@"; do
  case "$argument" in
    --install-only) install_only=1 ;;
    -h | --help)
      sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    -*) fail "unknown option $argument" "Options: --install-only" ;;
    *)
      [ -f "$root/scripts/reference/$argument.py" ] || fail "there is no scripts/reference/$argument.py"
      names+=("$argument")
      ;;
  esac
done

venv=${STAMP_REFERENCE_VENV:-$root/.venv-reference}
python=$venv/bin/python
if ! "$python" -c 'import torch, numpy, scipy, pywt, transformers, diffusers, gguf, safetensors, sentencepiece, google.protobuf, PIL, skimage' 2>/dev/null; then
  say "installing the reference libraries into $venv"
  [ -x "$python" ] || python3 -m venv "$venv"
  # torch is pinned: without a version pip may bring a CUDA build of several gigabytes.
  "$python" -m pip install --quiet "${packages[@]}" >&2
fi
if ! "$python" -c 'import llama_cpp' 2>/dev/null; then
  say "installing $llama (it may compile for some minutes)"
  "$python" -m pip install --quiet "$llama" >&2
fi
if ! "$python" -c 'import importlib.util as u; exit(not (u.find_spec("lpips") and u.find_spec("torchvision")))' 2>/dev/null; then
  say "installing lpips"
  # Without what they ask for: torch is there, and torchvision is needed for AlexNet's layers alone.
  "$python" -m pip install --quiet --no-deps lpips==0.1.4 torchvision==0.28.0 >&2
fi
if [[ " ${names[*]} " == *" gptq "* ]] && ! "$python" -c 'import llmcompressor, loguru, psutil, datasets, accelerate' 2>/dev/null; then
  say "installing llmcompressor"
  # Without what it asks for: an older transformers, which the routine compared here does not use.
  "$python" -m pip install --quiet --no-deps llmcompressor==0.14.0.1 compressed-tensors==0.20.0 >&2
  "$python" -m pip install --quiet loguru psutil datasets accelerate >&2
fi
# The image-reward package imports libraries of 2023 only. Without this environment image_reward compares with transformers' BLIP alone.
reward_python=$root/.venv-reference-image-reward/bin/python
if [[ " ${names[*]} " == *" image_reward "* ]] &&
  ! "$reward_python" -c 'import importlib.util as u; exit(not all(map(u.find_spec, ("ImageReward", "fairscale", "timm", "torchvision"))))' 2>/dev/null; then
  say "installing the image-reward package into ${reward_python%/bin/python}"
  [ -x "$reward_python" ] || python3 -m venv "${reward_python%/bin/python}"
  "$reward_python" -m pip install --quiet torch==2.13.0 "numpy<2" "pillow<12" transformers==4.30.2 "huggingface_hub<0.26" safetensors setuptools wheel >&2
  # Without what they ask for: trainers and other judges. torchvision later than this insists on operators built for one release of torch.
  "$reward_python" -m pip install --quiet --no-deps --no-build-isolation image-reward==1.5 timm==0.6.13 fairscale==0.4.13 torchvision==0.16.2 >&2
fi
[ "$install_only" = 0 ] || exit 0

[ -f "$build/CMakeCache.txt" ] || configure
build_targets reference_dump model_dump gptq_dump spinquant_dump task_dump scheduler_dump autoencoder_dump pipeline_dump lpips_dump stamp stamp-worker
if [ ${#names[@]} = 0 ]; then
  for script in "$root"/scripts/reference/*.py; do
    name=$(basename "$script" .py)
    [[ " ${modules[*]} ${slow[*]} " == *" $name "* ]] || names+=("$name")
  done
fi

failed=()
export STAMP_BUILD=$build PYTHONDONTWRITEBYTECODE=1
for name in "${names[@]}"; do
  say "$name"
  runner=$python
  if [ "$name" = image_reward ] && [ -x "$reward_python" ]; then runner=$reward_python; fi
  "$runner" "$root/scripts/reference/$name.py" || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then fail "differ from their reference: ${failed[*]}"; fi
say "${#names[@]} comparisons agree"
