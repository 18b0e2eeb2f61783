# Counts the instructions of the kernel's own lookups, by a time-stamp counter that advances by one for each.
#
# qemu: -accel tcg -cpu max,la57=off -icount shift=0
# needs: the compiled kernels
export XDG_CACHE_HOME=/cache
version=$(uname -r | cut -d . -f 1,2)
pfnbench instructions --by-time-stamp --layout subsection --kernel "$version" --output /tmp/counts >/dev/null || exit
sed 's/^/@COUNT /' /tmp/counts

# The map of the module validmap, on boot memory, on an added section, and in a section that is valid in part.
[ -e /modules/validmap.ko ] || exit 0
. /guest.sh
release_boot_device
map a 0x48000000 0x4fffffff
map b 0x50000000 0x503fffff
for where in boot:0x1000 added:0x48000 part:0x50000 absent:0x60000; do
    echo ${where#*:} >/dev/validmap_count
    counts=$(cat /dev/validmap_count) || exit 1
    echo "@VALIDMAP-COUNT ${where%:*} $counts"
done
