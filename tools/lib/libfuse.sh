#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# libfuse 3.18 or later, built statically from Debian's own source package, where the distribution's
# own libfuse is older. meson runs it with -Dlibfuse=3.18.
#
#   tools/lib/libfuse.sh DIR
#
# Leaves DIR/include/fuse3, DIR/lib/libfuse3.a and DIR/version. Where they are there already, nothing is
# done and no network is needed; DIR appears whole or not at all. Prints two lines: flags to compile
# with, and flags to link with. If it cannot be had, the last line on stderr says why.
#
# The machine's own apt configuration is only read: the mirror, proxies and passwords come from it; the
# suite that carries the package is added in a folder that lives as long as this script. apt verifies
# the suite's signature with Debian's keys, and through it the source package's checksums.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
# shellcheck source=tools/lib/deps.sh
. "$here/tools/lib/deps.sh"

die() {
	deps_say "agentfs: $*"
	exit 1
}

dir=${1:?usage: tools/lib/libfuse.sh DIR}
mkdir -p "$(dirname "$dir")" && dir=$(cd "$(dirname "$dir")" && pwd)/${dir##*/} ||
	die "cannot make the folder '$(dirname "$dir")'"
[[ -f $dir/version || ! -e $dir ]] || rmdir "$dir" 2>/dev/null ||
	die "the folder '$dir' holds other things; name one that is empty or new for libfuse"
work=
trap '[[ -z $work ]] || rm -rf "$work"' EXIT
# Beside DIR, so that it can be renamed into place; a source package is built where it was unpacked.
result=$dir.new.$$

flags() {
	printf '%s\n' "-isystem $dir/include/fuse3 -pthread" "$dir/lib/libfuse3.a -luring -lnuma -pthread -ldl -lrt"
}

# A private apt: the machine's settings without its hooks, its own lists; sources: of the machine
# (nothing given), or those of a file.
private_apt() {
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/source"
	apt-config dump |
		grep -Ev '^(APT::Update::|DPkg::|Dir::State::lists|Dir::Cache|Dir::Etc::(parts|main)[ :])'
	printf '%s;\n' 'Dir::Etc::parts "/dev/null"' 'Dir::Etc::main "/dev/null"' \
		"Dir::State::lists \"$work/lists\"" "Dir::Cache \"$work/cache\"" \
		'Acquire::Retries "2"' 'Acquire::Languages "none"' 'APT::Update::Error-Mode "any"'
	(($#)) && printf 'Dir::Etc::sourcelist "%s";\nDir::Etc::sourceparts "/dev/null";\n' "$1"
	return 0
}

# with CONFIG COMMAND...: runs one of apt's programs with that configuration.
with() {
	APT_CONFIG=$work/$1 DEBIAN_FRONTEND=noninteractive "${@:2}" </dev/null
}

# Prints where the machine's sources get the component main from. apt knows that of downloaded lists only:
# on a machine that has none they are fetched, into our folder.
mirrors() {
	local format='$(COMPONENT) $(REPO_URI)' of='Created-By: Packages' found
	found=$(apt-get indextargets --format "$format" "$of" 2>>"$work/log")
	if [[ -z $found ]]; then
		with machine.conf apt-get -q update >>"$work/log" 2>&1
		found=$(with machine.conf apt-get indextargets --format "$format" "$of" 2>>"$work/log")
	fi
	sed -n 's/^main \([^ ]*:.*\)$/\1/p' <<<"$found" | grep -v '^cdrom:' | awk '!seen[$0]++'
}

# Prints the highest version of the source package that is at least 3.18 and below 4.
offered() {
	local v best=
	while read -r v; do
		dpkg --compare-versions "$v" ge 3.18 && dpkg --compare-versions "$v" lt 4 || continue
		[[ -n $best ]] && dpkg --compare-versions "$v" le "$best" || best=$v
	done < <(with suite.conf apt-cache showsrc --only-source fuse3 2>/dev/null | sed -n 's/^Version: //p')
	[[ -n $best ]] && printf '%s\n' "$best"
}

# Tries each mirror with each suite, the most settled first; the first that carries the package wins.
fetch() {
	local mirror suite version key='' k asked=''
	for k in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
		[[ -r $k ]] && key=" [signed-by=$k]" && break
	done
	while read -r mirror; do
		asked+="${asked:+, }$mirror"
		for suite in stable testing unstable; do
			printf 'deb-src%s %s %s main\n' "$key" "$mirror" "$suite" >"$work/sources.list"
			deps_progress "looking for libfuse 3.18 in $suite"
			# A suite that this mirror does not have, or that Debian did not sign, is passed over.
			with suite.conf apt-get -q update >>"$work/log" 2>&1 || continue
			version=$(offered) || continue
			deps_progress "fetching the source of libfuse $version"
			(cd "$work/source" &&
				with suite.conf apt-get -q source --only-source --download-only "fuse3=$version") \
				>>"$work/log" 2>&1 && return 0
		done
	done < <(mirrors)
	grep '^E:' "$work/log" | sort -u | tail -n 5 >&2
	[[ -n $asked ]] ||
		die "libfuse 3.18 cannot be had: apt knows no mirror on this machine; give it one, or build with -Dlibfuse=system"
	die "libfuse 3.18 cannot be had: no suite of the mirrors that apt knows here ($asked) gave the source package fuse3 in version 3.18 or later; build with -Dlibfuse=system"
}

build() {
	dpkg-source --no-check -x "$work"/source/fuse3_*.dsc "$work/src" &&
		env -u CFLAGS -u LDFLAGS -u CC DESTDIR= meson setup "$work/build" "$work/src" --prefix /usr --libdir lib \
			--buildtype release -Ddefault_library=static -Db_staticpic=true -Dexamples=false -Dutils=false \
			-Dtests=false -Denable-io-uring=true &&
		DESTDIR=$work/root meson install -C "$work/build" &&
		grep -q '^#define HAVE_URING' "$work/build/fuse_config.h"
}

if [[ ! -f $dir/version ]]; then
	command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
		die "libfuse 3.18 is fetched with apt, which this machine does not have; build with -Dlibfuse=system"
	work=$(mktemp -d) && chmod 755 "$work" || die "cannot make a temporary folder"
	private_apt >"$work/machine.conf"
	private_apt "$work/sources.list" >"$work/suite.conf"
	fetch
	deps_need libfuse || exit 1
	deps_progress "building libfuse"
	build >"$work/log" 2>&1 </dev/null || {
		tail -n 20 "$work/log" >&2
		die "libfuse 3.18 did not build; the compiler's messages are above"
	}
	sed -n 's/^Version: //p' "$work"/source/fuse3_*.dsc | head -n 1 >"$work/root/usr/version"
	rm -rf "$work/root/usr/lib/pkgconfig" # it names /usr
	cp -r "$work/root/usr" "$result" || { rm -rf "$result"; die "cannot write '$result'"; }
	# Another run may have been faster: what it made is as good.
	mv -T "$result" "$dir" 2>/dev/null || rm -rf "$result"
	[[ -f $dir/version ]] || die "cannot write '$dir'"
	if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
fi
flags
