# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What agentfs needs from the distribution, and how it gets here. Sourced by quickstart, test and bench.
#
#   deps_need SET                sees to it that all packages of the set (build, test, bench, libfuse) are
#                                there, or says in one line what the administrator has to run, and
#                                returns non-zero
#   deps_fuse                    the same for /dev/fuse and fusermount3
#
# In a list, COMMAND=PACKAGE means: that package, unless the command is there from elsewhere.
#
# Nothing is done, and nothing printed, where nothing is missing. apt's lists are fetched only when
# a package cannot be found without.

deps_build=(build-essential meson ninja-build pkg-config libfuse3-dev fuse3 libgit2-dev libsqlite3-dev
	liburing-dev libjansson-dev libyaml-dev libsodium-dev libxxhash-dev libsystemd-dev uthash-dev
	libcurl4-openssl-dev libcmocka-dev nettle-dev libdeflate-dev zlib1g-dev libseccomp-dev git)
deps_test=("${deps_build[@]}" python3 attr acl strace stress-ng fs_mark=fsmark sqlite3 vim rsync node=nodejs npm=npm
	clang=clang clang-format-14 util-linux procps bwrap=bubblewrap)
deps_libfuse=(build-essential meson ninja-build pkg-config liburing-dev libnuma-dev)
deps_bench=("${deps_build[@]}" python3 util-linux fuse-overlayfs npm=npm)

deps_say() {
	printf '%s\n' "$*" >&2
}

# Prints those of the given packages that are not installed.
deps_missing() {
	local have p c
	have=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' 2>/dev/null |
		sed -n 's/^\([^: ]*\)\(:[^ ]*\)\{0,1\} installed$/ \1 /p' | tr -d '\n')
	for p; do
		if [[ $p == *=* ]]; then
			c=${p%%=*} p=${p#*=}
			command -v "$c" >/dev/null && continue
		fi
		[[ $have == *" $p "* ]] || printf '%s\n' "$p"
	done
}

deps_progress() {
	if [[ -t 2 ]]; then
		printf '\r\033[K%s' "$*" >&2
	else
		deps_say "$*"
	fi
}

deps_install() {
	local log cmd=(apt-get install -y -q --no-install-recommends "$@")

	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp) || return 1
	deps_progress "installing $# packages: $*"
	if ! "${cmd[@]}" >"$log" 2>&1 </dev/null; then
		deps_progress "refreshing apt's package lists"
		if ! { apt-get update -q && "${cmd[@]}"; } >"$log" 2>&1 </dev/null; then
			[[ -t 2 ]] && deps_say ""
			tail -n 5 "$log" >&2
			deps_say "agentfs: could not install: $*; see apt's message above"
			rm -f "$log"
			return 1
		fi
	fi
	rm -f "$log"
	if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
	return 0
}

deps_need() {
	local -n set=deps_$1
	local missing

	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		# Another distribution: the build itself will name what it lacks.
		command -v meson >/dev/null && command -v ninja >/dev/null && return 0
		deps_say "agentfs: this is no Debian; install meson, ninja, a C compiler and the libraries" \
			"that meson.build names, then try again"
		return 1
	fi
	mapfile -t missing < <(deps_missing "${set[@]}")
	((${#missing[@]})) || return 0
	if ((EUID != 0)); then
		deps_say "agentfs: packages are missing; ask the administrator to run:" \
			"apt-get install ${missing[*]}"
		return 1
	fi
	deps_install "${missing[@]}"
}

deps_fuse() {
	if [[ ! -e /dev/fuse ]]; then
		deps_say "agentfs: /dev/fuse is missing; load the module (modprobe fuse), or give the" \
			"container the device (--device /dev/fuse --cap-add SYS_ADMIN)"
		return 1
	fi
	if [[ ! -r /dev/fuse || ! -w /dev/fuse ]]; then
		deps_say "agentfs: no permission to open /dev/fuse; ask the administrator to run:" \
			"chmod 666 /dev/fuse"
		return 1
	fi
	if ((EUID != 0)) && ! command -v fusermount3 >/dev/null; then
		deps_say "agentfs: fusermount3 is missing; ask the administrator to run: apt-get install fuse3"
		return 1
	fi
	if ((EUID != 0)) && [[ ! -e /etc/mtab ]]; then
		deps_say "agentfs: /etc/mtab is missing, which fusermount3 reads; ask the administrator to run:" \
			"ln -s ../proc/self/mounts /etc/mtab"
		return 1
	fi
}

# deps_compile DIR [MESON-OPTION...]: configures once and builds; quiet unless it fails.
deps_compile() {
	local dir=$1 log
	shift
	log=$(mktemp) || return 1
	if [[ ! -f $dir/build.ninja ]] && ! meson setup "$dir" "$DEPS_ROOT" "$@" >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		rm -f "$log"
		deps_say "agentfs: meson could not configure the build in '$dir'"
		return 1
	fi
	deps_progress "building in ${dir##*/}"
	if ! ninja -C "$dir" >"$log" 2>&1 </dev/null; then
		[[ -t 2 ]] && deps_say ""
		tail -n 40 "$log" >&2
		rm -f "$log"
		deps_say "agentfs: the build in '$dir' failed; the compiler's messages are above"
		return 1
	fi
	if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
	rm -f "$log"
}

DEPS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
