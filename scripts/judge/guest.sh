# Operations of a scene in a guest. Lines that begin with @ are for the judge (harness/src/judge/log.rs), all others
# for people.
DEVICES=/sys/bus/dax/devices
DRIVER=/sys/bus/dax/drivers/device_dax
KMEM=/sys/bus/dax/drivers/kmem
ND=/sys/bus/nd/devices
DAX_PMEM=/sys/bus/nd/drivers/dax_pmem
MEMORY=/sys/devices/system/memory
for REGION in /sys/devices/platform/hmem.0/dax_region /sys/devices/platform/hmem_platform.0/hmem.0/dax_region; do
    [ -d $REGION ] && break
done

# One process takes all snapshots, which reads the kernel's types and symbols once.
mkfifo /tmp/ask /tmp/answer
pfnbench kernel snapshot --each --below 0x180000 </tmp/ask >/tmp/answer 2>/tmp/error &
exec 3>/tmp/ask 4</tmp/answer

# What the kernel's own functions answer, and whether the map of the module validmap answers the same, where the modules
# could be built.
for module in pfnprobe validmap; do
    [ -e /modules/$module.ko ] || continue
    if insmod /modules/$module.ko; then echo 0x180000 >/dev/$module; else echo "$module cannot be loaded"; exit 1; fi
done
answers() {
    [ ! -e /dev/validmap ] || echo "@VALIDMAP $(cat /dev/validmap)"
    [ ! -e /dev/pfnprobe ] || awk 'BEGIN { printf "@PFNS 180000" } { printf " %s-%s:%s", $1, $2, $3 } END { print "" }' /dev/pfnprobe
}

# Prints the state of the kernel.
snap() {
    echo >&3
    if read -r state <&4; then echo "@SNAP $state $*"; answers; else echo "no snapshot: $(cat /tmp/error)"; exit 1; fi
}
# Announces an operation, and then tells its outcome.
op() { echo "@DO $*"; }
rc() {
    if [ "$1" = 0 ]; then echo "@RC 0"; else
        echo "@RC 1"
        dmesg -c | tail -n 3 | sed 's/^/   dmesg: /'
    fi
}

echo "@KERNEL $(uname -r) 0x$(cat $MEMORY/block_size_bytes)"
dmesg | sed -n 's/.*node *\([0-9]*\): \[mem \(0x[0-9a-f]*\)-\(0x[0-9a-f]*\)\]/@EARLY \1 \2 \3/p' | grep '^@EARLY' | sort -u
dmesg -c >/dev/null

# --- Devices on soft-reserved memory.
bound() { [ -e $DEVICES/$1/driver ]; }
# Since 6.12, binding needs new_id. That makes the driver take every unbound device, so it is not used where bind does,
# and what is unbound is struck from the list.
bind() {
    echo $1 >$DRIVER/bind 2>/dev/null
    bound $1 || echo $1 >$DRIVER/new_id 2>/dev/null
    bound $1
}
unbind() {
    echo $1 >$DEVICES/$1/driver/unbind
    echo $1 >$DRIVER/remove_id 2>/dev/null
    ! bound $1
}
# map KEY FIRST LAST [FIRST LAST]…: a new device on these bytes, bound to the driver.
map() {
    key=$1
    shift
    op map $key "$@"
    result=0
    echo 1 >$REGION/create
    name=$(cat $REGION/seed)
    eval "NAME_$key=$name"
    echo 2097152 >$DEVICES/$name/align
    while [ $# -gt 0 ]; do
        echo $1-$2 >$DEVICES/$name/mapping 2>/dev/null || result=1
        shift 2
    done
    if ! bind $name; then
        result=1
        # A refused device stays the seed of the region, and newer kernels never take it again.
        echo 0 >$DEVICES/$name/size
        echo $name >$REGION/delete
    fi
    rc $result
}
name_of() { eval "echo \$NAME_$1"; }
off() { op off $1; unbind "$(name_of $1)"; rc $?; }
on() { op on $1; bind "$(name_of $1)"; rc $?; }
drop() {
    op drop $1
    name=$(name_of $1)
    if bound $name; then unbind $name; fi
    echo 0 >$DEVICES/$name/size 2>/dev/null
    echo $name >$REGION/delete 2>/dev/null
    ! bound $name
    rc $?
}
# The device that the kernel makes of the whole region at boot.
release_boot_device() {
    [ -e $DEVICES/dax0.0 ] || return
    NAME_whole=dax0.0
    if bound dax0.0; then
        op map whole "$(cat $DEVICES/dax0.0/mapping0/start)" "$(cat $DEVICES/dax0.0/mapping0/end)"
        rc 0
        snap the region as one device
        off whole
    fi
    echo 0 >$DEVICES/dax0.0/size
}
# --- The same as System RAM.
kmem() {
    op kmem $1
    name=$(name_of $1)
    if bound $name; then unbind $name; fi
    echo $name >$KMEM/new_id 2>/dev/null
    bound $name || echo $name >$KMEM/bind 2>/dev/null
    bound $name
    rc $?
}
unkmem() {
    op unkmem $1
    echo "$(name_of $1)" >$KMEM/unbind
    echo "$(name_of $1)" >$KMEM/remove_id 2>/dev/null
    rc 0
}
state() { op state $1 $2; echo $2 2>/dev/null >$MEMORY/memory$1/state; rc $?; }
# The same where a refusal may be due to pages that cannot be moved, of which the model knows nothing.
try() { op try $1 $2; echo $2 2>/dev/null >$MEMORY/memory$1/state; rc $?; }

# --- DIMMs, which the host plugs in and out.
# Waits until a test succeeds, for at most 10 s.
wait_for() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        "$@" && return
        usleep 500000
    done
    return 1
}
block_of() { printf '%d' $(($1 / 0x$(cat $MEMORY/block_size_bytes))); }
has_block() { [ -r $MEMORY/memory$1/state ]; }
# A DIMM of RAM is a resource from before its blocks appear until after its sections are gone.
has_ram() { grep -qi "^0*$(printf '%x' $(($1)))-0*$(printf '%x' $(($2))) : System RAM" /proc/iomem; }
has_no_ram() { ! has_ram $1 $2; }
# plug KEY FIRST LAST
plug() {
    op plug $1 $2 $3
    eval "FIRST_$1=$2 LAST_$1=$3"
    echo "@HOST object_add memory-backend-ram,id=m$1,size=$(($3 - $2 + 1))"
    echo "@HOST device_add pc-dimm,id=d$1,memdev=m$1,addr=$2"
    wait_for has_block "$(block_of $3)"
    rc $?
    usleep 300000
}
unplug() {
    op unplug $1
    echo "@HOST device_del d$1"
    eval "wait_for has_no_ram \$FIRST_$1 \$LAST_$1"
    rc $?
    usleep 300000
    echo "@HOST object_del m$1"
}

# --- Namespaces. A DIMM that is plugged in later has another region.
REGION_NR=${REGION_NR:-0}
reset() {
    for command in "disable-region region$REGION_NR" "zero-labels nmem$REGION_NR" "init-labels -f nmem$REGION_NR" \
        "enable-region region$REGION_NR"; do
        ndctl $command >/dev/null 2>&1
    done
    op region "$(cat $ND/region$REGION_NR/resource)" "$(cat $ND/region$REGION_NR/size)" "$(cat $ND/region$REGION_NR/align)"
    rc 0
}
# namespace KEY MODE SIZE ALIGN mem|dev: as ndctl creates it.
namespace() {
    key=$1
    op ns "$@"
    ndctl create-namespace -r region$REGION_NR -m $2 -s $3 -a $4 -M $5 --no-autorecover >/tmp/out 2>&1
    result=$?
    if [ $result = 0 ]; then
        eval "NS_$key=$(sed -n 's/.*"dev":"\(namespace[^"]*\)".*/\1/p' /tmp/out)"
    else
        sed 's/^/   /' /tmp/out
    fi
    rc $result
    [ $result != 0 ] || eval "echo \"@NAME $key \$NS_$key\""
}
namespace_off() { op nsoff $1; eval "ndctl disable-namespace \$NS_$1" >/tmp/out 2>&1; rc $?; }
namespace_on() { op nson $1; eval "ndctl enable-namespace \$NS_$1" >/tmp/out 2>&1; rc $?; }
namespace_delete() { op nsdel $1; eval "ndctl destroy-namespace -f \$NS_$1" >/tmp/out 2>&1; rc $?; }
# The same by sysfs alone, for sizes that ndctl refuses.
put() { echo "$1" 2>/tmp/error >"$2" || { echo "   refused: $1 > $2: $(cat /tmp/error)"; return 1; }; }
new_uuid() { cat /proc/sys/kernel/random/uuid; }
# raw_namespace KEY SIZE ALIGN mem|dev
raw_namespace() {
    key=$1
    op ns $key devdax $2 $3 $4
    region=$ND/region$REGION_NR
    ns=$(cat $region/namespace_seed)
    dax=$(cat $region/dax_seed)
    mode=ram
    [ $4 = dev ] && mode=pmem
    put "$(new_uuid)" $ND/$ns/uuid && put $2 $ND/$ns/size && put $3 $ND/$dax/align && put $mode $ND/$dax/mode &&
        put "$(new_uuid)" $ND/$dax/uuid && put $ns $ND/$dax/namespace && put $dax $DAX_PMEM/bind
    result=$?
    eval "NS_$key=$ns DAX_$key=$dax"
    rc $result
    [ $result != 0 ] || echo "@NAME $key $ns"
}
raw_off() { op nsoff $1; eval "put \$DAX_$1 $DAX_PMEM/unbind"; rc $?; }
raw_on() { op nson $1; eval "put \$DAX_$1 $DAX_PMEM/bind"; rc $?; }
raw_delete() {
    op nsdel $1
    eval "dax=\$DAX_$1 ns=\$NS_$1"
    if [ -e $ND/$dax/driver ]; then put $dax $DAX_PMEM/unbind; fi
    put "" $ND/$dax/namespace
    put 0 $ND/$ns/size
    rc $?
}
align_region() { op align $1; put $1 $ND/region$REGION_NR/align; rc $?; }
