# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts of this folder: where caches and logs are, and how to become root.
# Expects $repo; sets zl_cache and zl_logs.

zl_cache=${ZONELET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zonelet}
zl_logs=$repo/build/logs

# zl_need_root WHO PROGRAM ARG...: returns as root, or runs PROGRAM again through sudo, or ends with one line.
zl_need_root() {
	local who=$1
	shift
	[ "$(id -u)" != 0 ] || return 0
	command -v sudo >/dev/null || {
		echo "$who: needs root (mounts, chroots, Xen): run it as root, or install sudo" >&2
		exit 1
	}
	exec sudo --preserve-env ZONELET_CACHE="$zl_cache" "$@"
}
