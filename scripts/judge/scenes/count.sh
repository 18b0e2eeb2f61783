# Counts the instructions of the kernel's own lookups, by a time-stamp counter that advances by one for each.
#
# qemu: -accel tcg -cpu max,la57=off -icount shift=0
# needs: the compiled kernels
export XDG_CACHE_HOME=/cache
version=$(uname -r | cut -d . -f 1,2)
pfnbench instructions --by-time-stamp --layout subsection --kernel "$version" --output /tmp/counts >/dev/null || exit
sed 's/^/@COUNT /' /tmp/counts
