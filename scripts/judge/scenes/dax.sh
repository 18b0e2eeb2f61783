# Any command of pfnbench on real devices: two with base-page mappings that share a section, and one with 2 MiB
# mappings, on which only dax-x86 can keep records. Without a command, what must hold on them.
#
# kernel parameter: memmap=512M%1G-1+0xefffffff
DEVICES=/sys/bus/dax/devices
DRIVER=/sys/bus/dax/drivers/device_dax
for REGION in /sys/devices/platform/hmem.0/dax_region /sys/devices/platform/hmem_platform.0/hmem.0/dax_region; do
    [ -d $REGION ] && break
done
if [ -e $DEVICES/dax0.0 ]; then
    [ -e $DEVICES/dax0.0/driver ] && echo dax0.0 >$DEVICES/dax0.0/driver/unbind
    echo 0 >$DEVICES/dax0.0/size
fi
# Creates a device with a range and an alignment in bytes; it gets the next free name.
add() {
    echo 1 >$REGION/create
    name=$(cat $REGION/seed)
    echo $2 >$DEVICES/$name/align
    echo $1 >$DEVICES/$name/mapping
    echo $name >$DRIVER/bind 2>/dev/null
    [ -e $DEVICES/$name/driver ] || echo $name >$DRIVER/new_id
}
add 0x40000000-0x42ffffff 4096
add 0x43000000-0x45ffffff 4096
add 0x48000000-0x4affffff 2097152
if [ -e /command ]; then
    sh /command
    exit
fi
grep dax /proc/iomem
status=0
# Runs a command, which must exit with this code and print this text.
expect() {
    want=$1 word=$2
    shift 2
    said=$("$@" 2>&1)
    got=$?
    echo "$said"
    if [ $got != $want ]; then echo "kernel-judge: '$*' exited with $got instead of $want"; status=1; fi
    case $said in
        *"$word"*) ;;
        *) echo "kernel-judge: '$*' did not print '$word'"; status=1 ;;
    esac
}
expect 0 '/proc/kcore and BTF' pfnbench verify --running-kernel
expect 0 'records on /dev/dax0.1, every answer is correct' pfnbench verify --backing dax:/dev/dax0.1
expect 0 'anon+dax"' sh -c 'pfnbench run --tier smoke --backing dax:/dev/dax0.1 --json >/dev/null && grep -m1 -o "anon+dax\"" results/*/*/samples.jsonl'
expect 0 'dax' pfnbench run --tier smoke --backing dax:/dev/dax0.2
expect 0 'maps in units of 2 MiB' pfnbench run --tier smoke --backing dax:/dev/dax0.3
expect 2 'not a DAX device' pfnbench run --tier smoke --backing dax:/dev/null
# Namespaces: info blocks and records on the device itself, labels in a file.
expect 2 '--labels dax0.1.labels' pfnbench namespace region /dev/dax0.1
expect 0 'region of 48 MiB at 0x40000000' pfnbench namespace region /dev/dax0.1 --labels a
expect 0 '14 MiB of 16 MiB usable' pfnbench namespace create /dev/dax0.1 --labels a --size 16M
expect 0 '30 MiB of 32 MiB usable' pfnbench namespace create /dev/dax0.1 --labels a --size 32M --mode devdax
expect 0 '512 KiB on the medium' pfnbench namespace enable /dev/dax0.1 namespace0.1 --labels a --layout dax
expect 0 '0 B on the medium' pfnbench namespace enable /dev/dax0.1 namespace0.0 --labels a --layout dax-x86
expect 0 '30 MiB of data' pfnbench namespace check /dev/dax0.1 --labels a
expect 1 'NS312' pfnbench namespace check /dev/dax0.1 --labels a --at 0x40100000
expect 0 'disabled' pfnbench namespace disable /dev/dax0.1 namespace0.0 --labels a
expect 0 'destroyed' pfnbench namespace destroy /dev/dax0.1 namespace0.0 --labels a
expect 0 'region of 48 MiB at 0x48000000' pfnbench namespace region /dev/dax0.3 --labels b
expect 0 '46 MiB of 48 MiB usable' pfnbench namespace create /dev/dax0.3 --labels b --size 48M
expect 0 '48 MiB' pfnbench namespace list /dev/dax0.3 --labels b
expect 1 'NS411' pfnbench namespace enable /dev/dax0.3 namespace0.0 --labels b --layout dax
expect 0 'page frames' pfnbench namespace enable /dev/dax0.3 namespace0.0 --labels b
exit $status
