#!/usr/bin/env bash
# Rebuilds the results under results/, each with the command that its README was published with, and says what changed:
# one line a result, by `stamp compare --brief` against the committed records. Hours for all of them; safe to stop and to
# start again: finished results stay, the one at work continues. Works in runs/reproduced/; results/ stays as it is.
#
#   scripts/reproduce_all.sh [--list] [--only NAME...] [--output DIR] [--publish] [--no-build]
#
#   --list        results, their commands and how far they are; runs nothing
#   --only NAME   this result and further NAMEs that follow
#   --output DIR  work there instead of in runs/reproduced
#   --publish     afterwards put every rebuilt result in place of the committed one (scripts/publish.py); look at
#                 `git diff` and run scripts/docs.py then
#   --no-build    use the programs in build/ as they are (a published script may still build, as quickstart.sh does)
#
# Exit code: 0 all were rebuilt, changed or not; 3 some were not, or not whole; 130 interrupted.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

work=$root/runs/reproduced only=() list=0 publish=0 may_build=1
while [ $# -gt 0 ]; do
  case "$1" in
    --list) list=1 ;;
    --publish) publish=1 ;;
    --no-build) may_build=0 ;;
    --output)
      [ $# -gt 1 ] || fail "--output needs a folder"
      work=$(realpath -m "$2")
      shift
      ;;
    --only)
      [ $# -gt 1 ] || fail "--only needs the name of a result"
      while [ $# -gt 1 ] && [ "${2#-}" = "$2" ]; do
        only+=("$2")
        shift
      done
      ;;
    -h | --help)
      sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) fail "unknown option $1" "Options: --list --only NAME... --output DIR --publish --no-build" ;;
  esac
  shift
done
cd "$root"

# Name, tab, command of every published result: the row that scripts/publish.py writes. Results without one (a trained
# model, for one) tell in their own words how they were made.
published() {
  local readme command
  for readme in results/*/README.md; do
    [ -f "$readme" ] || continue
    command=$(sed -n 's/^| command | `\(.*\)` |$/\1/p' "$readme" | head -n 1)
    if [ -n "$command" ]; then printf '%s\t%s\n' "$(basename "$(dirname "$readme")")" "$command"; fi
  done
}

if [ "$list" = 0 ]; then
  mkdir -p "$work"
  # The programs it starts hold the lock too: one that outlives this script (kill -9) must not meet a second one.
  exec 9>"$work/.lock"
  flock -n 9 || fail "$work: another run of this script works there, or a program that it left behind" \
    "Wait for its end; both write every trial as it finishes, so nothing is lost."
fi

# Fixed at the first start: --publish replaces the files that it is read from, and may be stopped halfway.
frozen=$work/results.tsv
if [ "$list" = 0 ] && [ ! -f "$frozen" ]; then
  published >"$frozen.new"
  mv "$frozen.new" "$frozen"
fi
names=() commands=()
while IFS=$'\t' read -r name command; do
  names+=("$name") commands+=("$command")
done < <(if [ -f "$frozen" ]; then cat "$frozen"; else published; fi)
[ ${#names[@]} -gt 0 ] || fail "no result under results/ names the command that made it"

for name in "${only[@]+"${only[@]}"}"; do
  case " ${names[*]} " in
    *" $name "*) ;;
    *) fail "no published result $name" "There are: ${names[*]}" ;;
  esac
done
wanted() { # wanted NAME
  [ ${#only[@]} = 0 ] && return
  case " ${only[*]} " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# The line of a finished result is written last: it is what says that nothing is left to do there.
line_of() { cat "$work/$1.line"; }

if [ "$list" = 1 ]; then
  for i in "${!names[@]}"; do
    name=${names[$i]}
    wanted "$name" || continue
    state='not rebuilt'
    if [ -f "$work/$name.line" ]; then
      state=$(line_of "$name")
    elif [ -f "$work/$name.failed" ]; then
      state=$(cat "$work/$name.failed")
    elif [ -d "$work/$name" ]; then
      state=begun
    fi
    printf '%-28s %s\n%-28s %s\n' "$name" "${commands[$i]}" '' "$state"
  done
  exit 0
fi

started=$(date +%s)
if [ "$may_build" = 1 ]; then
  "$root/scripts/setup.sh"
  # As scripts/quickstart.sh: without tests in a new tree.
  if [ -f "$build/CMakeCache.txt" ]; then configure; else configure -DSTAMP_BUILD_TESTS=OFF; fi
  build_targets stamp stamp-worker
fi
[ -x "$build/bin/stamp" ] || fail "$build/bin/stamp is not there" "Run without --no-build, or set STAMP_BUILD to the build folder."
export PATH="$build/bin:$PATH"

# Records of one revision must not be taken for those of another.
version=$(stamp --version)
if [ -f "$work/version" ] && [ "$(cat "$work/version")" != "$version" ]; then
  fail "$work was begun by $(cat "$work/version"); this is $version" \
    "Finish with that program, remove the folder, or give another one with --output."
fi
printf '%s\n' "$version" >"$work/version"

# The published command as one for the work folder: programs of this build, and no folder of its own.
command_for() { # command_for NAME COMMAND
  local command
  command=$(sed -E 's#(^| )(\./)?build/bin/#\1#g; s#(^| )--output[= ]("[^"]*"|[^ ]+)##g' <<<"$2")
  printf '%s --output %q' "$command" "$work/$1"
}

interrupted() {
  say "interrupted after $(elapsed "$started"); the same command continues"
  exit 130
}
trap interrupted INT TERM

rebuild() { # rebuild NAME COMMAND: writes NAME.line, and returns 1 when the result is not whole
  local name=$1 status=0 whole=0 prefix='' log=$work/$1.log line
  case "$2" in
    *[\;\&\|\<\>\`]* | *'$('*)
      printf 'failed: its command is more than one program, see results/%s/README.md\n' "$name" >"$work/$name.failed"
      return 1
      ;;
  esac
  say "$name: $2"
  # tee must outlive a Ctrl-C, or the program's last words would kill it before it has finished its trial.
  bash -c "$(command_for "$name" "$2")" 2>&1 >>"$log" | tee -i -a "$log" >&2 || status=${PIPESTATUS[0]}
  if [ "$status" = 130 ]; then interrupted; fi
  if [ "$status" = 3 ]; then
    prefix='failed trials; ' whole=1
  elif [ "$status" != 0 ]; then
    printf 'failed: exit code %s (docs/exit-codes.md), see %s\n' "$status" "$log" >"$work/$name.failed"
    return 1
  fi
  stamp plot "$work/$name" >>"$log" 2>&1 || note "$name: no figures, see $log"
  line=$(stamp compare "$root/results/$name" "$work/$name" --brief 2>>"$log") || {
    printf 'failed: rebuilt, but not to be compared, see %s\n' "$log" >"$work/$name.failed"
    return 1
  }
  rm -f "$work/$name.failed"
  if [ "$whole" != 0 ]; then
    # No .line: the next start tries the failed trials again.
    printf '%s%s\n' "$prefix" "$line" >"$work/$name.failed"
    return 1
  fi
  printf '%s\n' "$line" >"$work/$name.line.new"
  mv "$work/$name.line.new" "$work/$name.line"
}

failed=0
for i in "${!names[@]}"; do
  name=${names[$i]}
  wanted "$name" || continue
  if [ ! -f "$work/$name.line" ]; then rebuild "$name" "${commands[$i]}" || failed=$((failed + 1)); fi
  if [ "$publish" = 1 ] && [ -f "$work/$name.line" ] && [ ! -f "$work/$name.published" ]; then
    if "$root/scripts/publish.py" "$work/$name" --command "${commands[$i]}" >&2; then
      touch "$work/$name.published"
    else
      note "$name: not published"
      failed=$((failed + 1))
    fi
  fi
done

say "what changed, in $(elapsed "$started")"
for name in "${names[@]}"; do
  wanted "$name" || continue
  if [ -f "$work/$name.line" ]; then line=$(line_of "$name"); else line=$(cat "$work/$name.failed"); fi
  printf '%-28s %s\n' "$name" "$line"
done
[ "$failed" = 0 ] || exit 3
