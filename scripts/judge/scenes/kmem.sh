# The same memory as System RAM: memory blocks of 128 MiB, online and offline, beside devices.
. /guest.sh
echo offline >$MEMORY/auto_online_blocks
release_boot_device
insmod /modules/kmem.ko
snap after boot
echo "@SCENE whole memory blocks"
map a 0x60000000 0x6fffffff
kmem a; snap two blocks offline
state 12 online_movable; snap 12 online
state 13 online_movable; snap both online
state 13 offline; snap 13 offline
state 12 offline; snap both offline
unkmem a; snap removed
drop a
echo "@SCENE a range that is not made of whole blocks"
map a 0x5f000000 0x71ffffff
kmem a; snap cut to whole blocks
map d 0x72000000 0x72ffffff; snap a device behind it
state 12 online_movable; snap 12 online
state 13 online_movable; snap both online
drop d; snap the device dropped
state 12 offline
state 13 offline
unkmem a; snap removed
drop a
echo "@SCENE ranges without a whole block"
map a 0x61000000 0x6effffff
kmem a; snap 222 MiB
unkmem_if_bound() { if bound "$(name_of $1)"; then unkmem $1; fi; }
unkmem_if_bound a
drop a
map a 0x49000000 0x4fffffff
kmem a; snap 112 MiB
unkmem_if_bound a
drop a
echo "@SCENE several ranges as RAM"
map a 0x48000000 0x4fffffff 0x58000000 0x61ffffff 0x70000000 0x70ffffff
kmem a; snap two of three ranges have a block
state 9 online_movable; snap 9 online
state 9 offline; snap 9 offline
unkmem a; snap removed
drop a
echo "@SCENE a device and RAM in alternation"
map a 0x68000000 0x6fffffff
kmem a
map b 0x70000000 0x777fffff; snap RAM and a device
state 13 online_movable; snap 13 online
map c 0x67000000 0x67ffffff; snap a device in front
off b; snap b off
state 13 offline
unkmem a; snap removed
on b; snap b on
for key in b c a; do drop $key; done
snap dropped
echo "@SCENE blocks of boot memory"
state 16 offline; snap a block with a hole
state 8 offline; snap another
for block in 17 18 19; do
    try $block offline; snap block $block
    if [ "$(cat $MEMORY/memory$block/state)" = offline ]; then state $block online; snap block $block again; fi
done
echo "@SCENE blocks of boot memory beside devices"
map a 0x80000000 0x801fffff
state 16 offline; snap it has a device
drop a; snap dropped
echo "@SCENE a block for the kernel's own pages, which may never go offline again"
map a 0x60000000 0x67ffffff
kmem a; snap offline
state 12 online_kernel; snap online
